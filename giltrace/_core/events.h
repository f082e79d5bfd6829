/* The event record: what the tap writes and the reader decodes.
 *
 * This file is the single source of the wire layout in C; its Python twin is
 * giltrace/capture/events.py, and a test compares the two. Changing anything
 * here means a new GT_FORMAT.
 */
#ifndef GT_EVENTS_H
#define GT_EVENTS_H

#include <stdint.h>

#define GT_FORMAT 3

typedef enum {
    GT_ACQUIRE = 1,      /* payload: tenure number */
    GT_RELEASE = 2,      /* payload: frame word | call id << 32 */
    GT_WAIT = 3,         /* payload: tenure number of the hold in the way */
    GT_DROP_REQUEST = 4, /* payload: tenure number of the hold asked to end */
    GT_FRAME = 5,        /* payload: frame word; ts: next outer frame word or 0 */
    GT_LOST = 6,         /* payload: events of this thread lost just before */
    GT_CPU = 7,          /* payload: CPU time of the thread, ns; ts as of the event before it */
    GT_DETAIL = 8,       /* payload: file descriptor that the RELEASE before it is about; ts: 0 */
    GT_SPAN = 9,         /* payload: code | depth << 16; ts: when the function call began */
    GT_SPAN_END = 10,    /* payload: the same, right after its SPAN; ts: when it ended */
    GT_PRIORITY = 11,    /* payload: the thread's priority from here on, 32 bits, signed */
} gt_kind_t;

/* The thread held the GIL already when recording began, or still when it ended. */
#define GT_FLAG_SYNTHETIC 1u
/* The holder stands at a pure eval-breaker check: no C call is in progress. */
#define GT_FLAG_AT_CHECK 2u

/* The release was made through PyEval_SaveThread(): by C code that lets go by itself. */
#define GT_FLAG_CALL 4u

/* On DROP_REQUEST: made before the switch interval was over, because of a priority. */
#define GT_FLAG_EARLY 1u

#define GT_LASTI_UNKNOWN 0xFFFFu
#define GT_MAX_GILS 255 /* the gil field has 8 bits; the last value is spare */

typedef struct {
    uint64_t ts;   /* ns, CLOCK_MONOTONIC */
    uint64_t data; /* kind:4 flags:4 gil:8 payload:48, from the low end */
} gt_event_t;

_Static_assert(sizeof(gt_event_t) == 16, "the event layout is part of the format: bump GT_FORMAT");

/* code:16 lasti:16, as it stands in RELEASE and FRAME payloads. */
typedef uint32_t gt_frame_word_t;

static inline uint64_t gt_event_data(gt_kind_t kind, unsigned flags, unsigned gil, uint64_t payload)
{
    return (uint64_t)kind | (uint64_t)flags << 4 | (uint64_t)gil << 8 | payload << 16;
}

static inline gt_frame_word_t gt_frame_word(unsigned code, unsigned lasti)
{
    return (code & 0xFFFFu) | (lasti > 0xFFFFu ? 0xFFFFu : lasti) << 16;
}

#endif
