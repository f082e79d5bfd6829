/* The part of libzmq that the echo server calls.
 *
 * Python's pyzmq wheels carry the library but no headers. What stands here is the stable C ABI of
 * libzmq 4, as its manual pages give it; where zmq.h is installed, the build uses that instead. */

#ifndef GILTRACE_ZMQ_API_H
#define GILTRACE_ZMQ_API_H

#ifdef GILTRACE_HAVE_ZMQ_H

#include <zmq.h>

#else

#include <stddef.h>
#include <stdint.h>

#define ZMQ_REP 4
#define ZMQ_RCVMORE 13
#define ZMQ_LINGER 17
#define ZMQ_MAXMSGSIZE 22
#define ZMQ_LAST_ENDPOINT 32

/* Opaque to us; libzmq promises 64 bytes with the alignment of a pointer. */
typedef union zmq_msg_t {
    unsigned char bytes[64];
    void *alignment;
} zmq_msg_t;

void *zmq_ctx_new(void);
int zmq_ctx_term(void *context);
void *zmq_socket(void *context, int type);
int zmq_close(void *socket);
int zmq_setsockopt(void *socket, int option, const void *value, size_t size);
int zmq_getsockopt(void *socket, int option, void *value, size_t *size);
int zmq_bind(void *socket, const char *endpoint);
int zmq_send(void *socket, const void *data, size_t size, int flags);
int zmq_errno(void);
const char *zmq_strerror(int error);
int zmq_msg_init(zmq_msg_t *message);
int zmq_msg_recv(zmq_msg_t *message, void *socket, int flags);
int zmq_msg_send(zmq_msg_t *message, void *socket, int flags);
int zmq_msg_close(zmq_msg_t *message);
int zmq_msg_more(const zmq_msg_t *message);
size_t zmq_msg_size(const zmq_msg_t *message);

#endif
#endif
