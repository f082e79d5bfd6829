/* Echo server on a 0MQ REP socket, with CPU threads beside it: the server without a GIL.
 *
 * Prints its endpoint on stdout, echoes every message until an empty one ends the run, then prints
 * one line of JSON: the requests served, and from the first request to the end of the run the
 * seconds and the iterations of each CPU thread. */

#define _POSIX_C_SOURCE 200809L

#include "load.h"
#include "zmq_api.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const int64_t MAX_MESSAGE = 64 * 1024 * 1024;
static const char *const USAGE =
    "usage: echo_server [--load N] [--load-kind spin|fib] [--calibrate SECONDS] [--watch-stdin]\n"
    "  --load N             CPU threads beside the server (0 to 1000)\n"
    "  --load-kind KIND     what they do (spin)\n"
    "  --calibrate SECONDS  serve nobody: run the CPU threads alone for so long\n"
    "  --watch-stdin        exit when stdin ends\n";

typedef struct {
    int load;
    load_kind kind;
    double calibrate;
    bool watch_stdin;
} options;

/* What the JSON line tells. `before` is the progress of the load at `start_ns`; it is complete once
 * `start_ns` is set. The serving thread writes, whichever thread ends the process reads. */
typedef struct {
    int load;
    _Atomic uint64_t requests;
    _Atomic int64_t start_ns;
    uint64_t before[LOAD_MAX];
} account;

static account own;

static int64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void account_start(void)
{
    for (int index = 0; index < own.load; index++)
        own.before[index] = load_iterations(index);
    own.start_ns = monotonic_ns();
}

static void account_print(void)
{
    int64_t start_ns = own.start_ns;
    int64_t end_ns = start_ns ? monotonic_ns() : 0;
    printf("{\"requests\": %" PRIu64 ", \"seconds\": %.9f, \"iterations\": [", own.requests,
           (double)(end_ns - start_ns) / 1e9);
    for (int index = 0; index < own.load; index++) {
        uint64_t iterations = start_ns ? load_iterations(index) - own.before[index] : 0;
        printf("%s%" PRIu64, index ? ", " : "", iterations);
    }
    printf("]}\n");
    fflush(stdout);
}

/* End the process with the account on stdout. Of several threads that want to, the first does. */
static _Noreturn void finish(int status)
{
    static atomic_flag begun = ATOMIC_FLAG_INIT;
    while (atomic_flag_test_and_set(&begun))
        pause();
    account_print();
    _exit(status);
}

/* Say what libzmq could not do; returns false for the caller to pass on. */
static bool zmq_failed(const char *what)
{
    fprintf(stderr, "echo_server: %s: %s\n", what, zmq_strerror(zmq_errno()));
    return false;
}

/* zmq_msg_recv, but to be stopped and continued, or looked at by a debugger, does not end a wait. */
static int receive(zmq_msg_t *message, void *socket)
{
    int size;
    do
        size = zmq_msg_recv(message, socket, 0);
    while (size < 0 && zmq_errno() == EINTR);
    return size;
}

/* Read the remaining frames of a request and answer it with an empty reply, which is how a REP
 * socket gets to its next request. */
static bool refuse(void *socket)
{
    int more = 1;
    while (more) {
        zmq_msg_t frame;
        size_t size = sizeof more;
        zmq_msg_init(&frame);
        int received = receive(&frame, socket);
        zmq_msg_close(&frame);
        if (received < 0 || zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &size) < 0)
            return zmq_failed("cannot receive");
    }
    fprintf(stderr, "giltrace: c-zmq: a client: sent a message of several frames; "
                    "refused with an empty reply\n");
    return zmq_send(socket, "", 0, 0) == 0 || zmq_failed("cannot send");
}

/* Serve one request; `*ended` says whether it was the end of the run. */
static bool serve_one(void *socket, bool *ended)
{
    zmq_msg_t message;
    zmq_msg_init(&message);
    if (receive(&message, socket) < 0) {
        zmq_msg_close(&message);
        return zmq_failed("cannot receive");
    }
    bool more = zmq_msg_more(&message);
    *ended = !more && zmq_msg_size(&message) == 0;
    if (more || *ended) {
        zmq_msg_close(&message);
        return more ? refuse(socket) : true;
    }
    if (zmq_msg_send(&message, socket, 0) < 0) { /* else the message is libzmq's to close */
        zmq_msg_close(&message);
        return zmq_failed("cannot send");
    }
    return true;
}

static bool serve(void *socket)
{
    bool ended = false;
    while (!ended) {
        if (!serve_one(socket, &ended))
            return false;
        if (own.start_ns == 0)
            account_start();
        own.requests += !ended;
    }
    return true;
}

static bool bind_socket(void *socket)
{
    int linger_ms = 1000;
    char endpoint[256];
    size_t size = sizeof endpoint;
    if (zmq_setsockopt(socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms) < 0 ||
        zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &MAX_MESSAGE, sizeof MAX_MESSAGE) < 0 ||
        zmq_bind(socket, "tcp://127.0.0.1:*") < 0 ||
        zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint, &size) < 0)
        return zmq_failed("cannot listen on 127.0.0.1");
    printf("%s\n", endpoint);
    fflush(stdout);
    return true;
}

static bool run_server(void)
{
    void *context = zmq_ctx_new();
    void *socket = context ? zmq_socket(context, ZMQ_REP) : NULL;
    if (socket == NULL)
        return zmq_failed("cannot start 0MQ");
    bool well = bind_socket(socket) && serve(socket);
    zmq_close(socket);
    zmq_ctx_term(context);
    return well;
}

static void run_alone(double seconds)
{
    struct timespec rest = {.tv_sec = (time_t)seconds};
    rest.tv_nsec = (long)((seconds - (double)rest.tv_sec) * 1e9);
    account_start();
    while (nanosleep(&rest, &rest) < 0 && errno == EINTR)
        ;
}

static void *watch_signals(void *signals)
{
    int number;
    sigwait(signals, &number);
    finish(128 + number);
}

static void *watch_stdin(void *unused)
{
    char ignored[256];
    ssize_t got;
    do
        got = read(STDIN_FILENO, ignored, sizeof ignored);
    while (got > 0 || (got < 0 && errno == EINTR));
    _exit(1);
    return unused;
}

static bool start_thread(void *(*run)(void *), void *argument)
{
    pthread_t thread;
    int error = pthread_create(&thread, NULL, run, argument);
    if (error != 0)
        fprintf(stderr, "echo_server: cannot start a thread: %s\n", strerror(error));
    return error == 0;
}

/* A number from `low` to `high`, or -1. */
static double number(const char *text, double low, double high)
{
    char *rest;
    double value = text ? strtod(text, &rest) : -1;
    return text && rest != text && *rest == '\0' && value >= low && value <= high ? value : -1;
}

/* The same, if it is a whole one, else -1. */
static int whole(double value)
{
    return value == (int)value ? (int)value : -1;
}

/* Returns false if the command line makes no sense. */
static bool parse(char **arguments, options *self)
{
    for (char **next = arguments + 1; *next != NULL; next++) {
        if (strcmp(*next, "--watch-stdin") == 0) {
            self->watch_stdin = true;
            continue;
        }
        const char *value = next[1];
        if (value == NULL)
            return false;
        if (strcmp(*next, "--load") == 0)
            self->load = whole(number(value, 0, LOAD_MAX));
        else if (strcmp(*next, "--calibrate") == 0)
            self->calibrate = number(value, 0, 3600);
        else if (strcmp(*next, "--load-kind") == 0 && strcmp(value, "fib") == 0)
            self->kind = LOAD_FIB;
        else if (strcmp(*next, "--load-kind") == 0 && strcmp(value, "spin") == 0)
            self->kind = LOAD_SPIN;
        else
            return false;
        next++;
    }
    return self->load >= 0 && self->calibrate >= 0;
}

int main(int count, char **arguments)
{
    options chosen = {0};
    if (count < 1 || !parse(arguments, &chosen)) {
        fputs(USAGE, stderr);
        return 2;
    }
    own.load = chosen.load;
    /* A thread waits for signals, as the serving one could miss one just before it starts to wait.
     * Blocked before the first thread starts, they are blocked in all. */
    static sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    if (!start_thread(watch_signals, &signals) || !load_start(chosen.kind, chosen.load) ||
        (chosen.watch_stdin && !start_thread(watch_stdin, NULL)))
        return 1;
    if (chosen.calibrate > 0)
        run_alone(chosen.calibrate);
    else if (!run_server())
        return 1;
    finish(0);
}
