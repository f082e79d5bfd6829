/* The arena: one target process's events in shared memory.
 *
 * A file in the session's private directory, preallocated in full (a full
 * /dev/shm must fail at start with an error, never later with SIGBUS inside
 * the target) and mapped by the target (producer) and the recorder (consumer):
 *
 *     header | gil rows | thread slots | free list | code records | chunks
 *
 * Every thread owns a slot and appends to a chain of fixed-size chunks from one
 * shared pool: single producer (the thread), single consumer (the recorder),
 * no lock anywhere. Consumed chunks go back through the free list, so memory is
 * bounded whatever the number of threads. When the pool is empty events are
 * dropped and counted; the target never waits for the recorder.
 *
 * No Python.h here: the unit tests build this file alone under sanitizers.
 */
#ifndef GT_ARENA_H
#define GT_ARENA_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "events.h"

#define GT_ARENA_MAGIC "GTARENA"
#define GT_CACHE_LINE 64
#define GT_CHUNK_BYTES 4096
#define GT_CHUNK_EVENTS ((GT_CHUNK_BYTES - GT_CACHE_LINE) / sizeof(gt_event_t))
#define GT_NAME_BYTES 176
#define GT_INFO_BYTES 16384
#define GT_WISHES 16

typedef struct {
    _Atomic uint32_t count; /* events published, written by the producer only */
    _Atomic uint32_t next;  /* index + 1 of the chunk that follows; 0: none yet */
    char pad[GT_CACHE_LINE - 8];
    gt_event_t events[GT_CHUNK_EVENTS];
} gt_chunk_t;

_Static_assert(sizeof(gt_chunk_t) == GT_CHUNK_BYTES, "a chunk is one page");

typedef enum {
    GT_SLOT_FREE = 0,
    GT_SLOT_CLAIMED = 1,  /* being filled in; not yet to be read */
    GT_SLOT_RESERVED = 2, /* named on behalf of a thread that has not written yet */
    GT_SLOT_ACTIVE = 3,
} gt_slot_state_t;

/* One thread. The producer's half and the consumer's half share no cache line. */
typedef struct {
    _Atomic uint32_t state;      /* gt_slot_state_t */
    _Atomic uint32_t generation; /* +1 at each claim: tells apart the slot's tenants */
    _Atomic uint32_t tid;
    _Atomic uint32_t first; /* index + 1 of the first chunk; 0: none yet */
    uint64_t start_ns;
    _Atomic uint64_t lost;     /* events of this thread that found no room */
    _Atomic uint32_t name_seq; /* odd while the name is being written */
    _Atomic uint32_t name_len;
    char reserved[24];
    _Atomic uint64_t name[GT_NAME_BYTES / 8]; /* UTF-8; read while being written, so by words */
    /* consumer */
    _Atomic uint32_t read_chunk; /* index + 1; 0: nothing read yet */
    _Atomic uint32_t read_count; /* events already taken from it */
    char pad[8];
} gt_slot_t;

_Static_assert(sizeof(gt_slot_t) == 256, "slots are laid out in whole cache lines");

/* Running totals of one GIL, kept by its holders under the GIL's own mutex;
 * read by the status line and as a cross-check of the event stream. */
typedef struct {
    _Atomic uint32_t used;
    _Atomic uint32_t interval_us; /* last switch interval seen in a timed wait */
    _Atomic int64_t interpreter;  /* -1: not known yet */
    uint64_t created_ns;
    _Atomic uint64_t acquires;
    _Atomic uint64_t held_ns;      /* completed holds */
    _Atomic uint64_t held_since_ns; /* 0: free */
    _Atomic uint64_t drop_requests;
    char pad[8];
} gt_gil_row_t;

_Static_assert(sizeof(gt_gil_row_t) == GT_CACHE_LINE, "one cache line per GIL");

/* A priority that the recorder asks the target to give to one of its threads. */
typedef struct {
    uint32_t tid;
    int32_t level;
    uint64_t born; /* see levels.h */
} gt_wish_t;

typedef struct {
    char magic[8];
    uint32_t format;
    uint32_t event_bytes;
    uint64_t total_bytes;
    uint64_t start_ns;
    uint32_t pid;
    uint32_t n_slots, n_chunks;
    uint32_t info_len;
    uint64_t off_gils, off_slots, off_free, off_codes, off_chunks;
    uint64_t codes_bytes;
    /* control: written by the recorder, read in every hook */
    _Alignas(GT_CACHE_LINE) _Atomic uint32_t on;
    _Atomic uint32_t wishes;      /* made so far */
    _Atomic uint32_t wishes_seen; /* of these; written by the target */
    /* free list: ring of chunk indexes; head is taken by producers, tail by the consumer */
    _Alignas(GT_CACHE_LINE) _Atomic uint64_t free_head;
    _Alignas(GT_CACHE_LINE) _Atomic uint64_t free_tail;
    /* written rarely */
    _Alignas(GT_CACHE_LINE) _Atomic uint32_t slots_high; /* slots ever used */
    _Atomic uint32_t slots_freed;    /* +1 when the recorder frees a slot */
    _Atomic uint32_t slots_reserved; /* how many slots are RESERVED */
    _Atomic uint32_t codes;          /* code ids handed out */
    _Atomic uint64_t codes_used;     /* bytes of the code region claimed */
    _Atomic uint64_t codes_lost;     /* code objects that found no room */
    _Atomic uint64_t lost_no_slot;   /* events of threads that found no slot */
    _Atomic uint64_t gils_unseen;    /* GILs beyond GT_MAX_GILS */
    _Atomic uint64_t interpreters_before; /* others that ran already when recording began */
    _Atomic uint64_t stop_ns;        /* recording stopped from inside; 0: not */
    _Atomic uint32_t policy;         /* gt_policy_t of the target */
    _Atomic uint32_t ready;          /* 1: the header is complete */
    gt_wish_t wish[GT_WISHES];       /* a ring */
    _Alignas(GT_CACHE_LINE) char info[GT_INFO_BYTES]; /* JSON by the runtime */
} gt_header_t;

/* A code record, in the code region: appended once per code object, and once per C function
 * that was seen to let the GIL go (is_call; then `code` is the call's id and the qualified name
 * all there is). Strings are stored as CPython keeps them (1, 2 or 4 bytes a character). */
typedef struct {
    _Atomic uint32_t size; /* whole record in bytes, multiple of 8; 0: not complete yet */
    uint32_t code;
    uint32_t first_line;
    uint32_t filename_chars, qualname_chars, linetable_bytes;
    uint8_t filename_kind, qualname_kind, is_call;
    char pad[5];
} gt_code_record_t;

_Static_assert(sizeof(gt_code_record_t) == 32, "code records are 8-byte aligned");

/* A view of an arena. The geometry is copied: what lies in shared memory may be scribbled over
 * by the target after it was checked. */
typedef struct {
    uint32_t n_slots, n_chunks;
    uint64_t codes_bytes;
    gt_header_t *header;
    gt_gil_row_t *gils;
    gt_slot_t *slots;
    _Atomic uint32_t *free;
    char *codes;
    gt_chunk_t *chunks;
} gt_arena_t;

/* A thread's place to write; lives in the thread's own storage. */
typedef struct {
    gt_slot_t *slot;
    gt_chunk_t *chunk;
    uint32_t count;       /* events in chunk */
    uint32_t retry_freed; /* slots_freed when no slot was found: no use to look again before */
    uint64_t lost;        /* dropped since the last event that found room */
} gt_writer_t;

/* Bytes an arena of that geometry takes. */
size_t gt_arena_bytes(uint32_t n_slots, uint32_t n_chunks, uint64_t codes_bytes);

/* Lay out an arena in zeroed memory of gt_arena_bytes(). Leaves `ready` unset. */
void gt_arena_init(gt_arena_t *arena, void *memory, uint32_t n_slots, uint32_t n_chunks,
                   uint64_t codes_bytes);

/* View an existing arena of `bytes` bytes. False if it is not a whole, sane one. */
bool gt_arena_view(gt_arena_t *arena, void *memory, size_t bytes);

/* Producer. Context: the writer's own thread; any lock may be held. None of these
 * blocks, allocates or sets errno. */

/* Append one event; when there is no room, count it and return false. */
bool gt_push(const gt_arena_t *arena, gt_writer_t *writer, uint64_t ts, uint64_t data);

/* Give the writer a slot (its thread's reserved one, or a new one). */
bool gt_attach(const gt_arena_t *arena, gt_writer_t *writer, uint32_t tid, uint64_t now_ns);

/* Set a slot's name. Callers exclude one another (they hold the GIL). */
void gt_slot_set_name(gt_slot_t *slot, const char *name, size_t length);

/* The slot of `tid`, reserving one if it has none yet; NULL when all are taken. */
gt_slot_t *gt_slot_for_tid(const gt_arena_t *arena, uint32_t tid, uint64_t now_ns);

/* Claim `size` bytes (multiple of 8) of the code region; NULL when it is full. */
gt_code_record_t *gt_code_claim(const gt_arena_t *arena, uint32_t size);

/* Fill in a claimed record but for its size, which makes it visible; returns what follows it. */
char *gt_code_head(gt_code_record_t *record, const gt_code_record_t *head);

/* The next wish; false: there is none. One thread at a time. */
bool gt_wish_next(const gt_arena_t *arena, gt_wish_t *wish);

/* Consumer. Context: one recorder at a time. */

/* Ask for something. False: the target has not taken up what it was asked for before. */
bool gt_wish(const gt_arena_t *arena, const gt_wish_t *wish);

/* Copy at most `room` unread events of a slot to `out`; gives consumed chunks back. */
size_t gt_drain(const gt_arena_t *arena, uint32_t slot, gt_event_t *out, size_t room);

/* Free the slot of a thread that has ended, once it is drained. False: events left, or it is free. */
bool gt_slot_free(const gt_arena_t *arena, uint32_t slot);

/* Copy a slot's name (GT_NAME_BYTES of room). False while it is being written. */
bool gt_slot_get_name(const gt_slot_t *slot, char *out, uint32_t *length);

#endif
