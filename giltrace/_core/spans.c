#define _GNU_SOURCE
#include "compat.h"

#include "spans.h"

#include "clock.h"
#include "frames.h"
#include "gil.h"
#include "tap.h"

#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 32768
#define FIRST_ROOM 64

typedef struct {
    const PyCodeObject *code; /* compared, never followed */
    uint64_t start_ns;
} open_t;

typedef struct {
    uint32_t generation;
    uint32_t depth, room;
    uint32_t beyond; /* entered at the greatest depth, and not left yet */
    open_t *open;
} spans_t;

static _Thread_local spans_t *mine __attribute__((tls_model("initial-exec")));

/* Guarded by the main GIL. */
static gt_clock_t clock_state;
static uint64_t least_ns;
static bool recording;
static uint32_t generation;
static pthread_key_t at_thread_end;
static bool key_made;

static void stack_free(void *stack)
{
    free(((spans_t *)stack)->open);
    free(stack);
    mine = NULL;
}

static spans_t *stack_make(void)
{
    spans_t *stack = mine;
    if (stack == NULL) {
        stack = calloc(1, sizeof *stack);
        if (stack == NULL || pthread_setspecific(at_thread_end, stack) != 0) {
            free(stack);
            return NULL;
        }
        mine = stack;
    }
    stack->generation = generation;
    stack->depth = stack->beyond = 0;
    return stack;
}

static bool grow(spans_t *stack)
{
    uint32_t room = stack->room == 0 ? FIRST_ROOM : stack->room * 2;
    if (room > MAX_DEPTH)
        return false;
    open_t *more = realloc(stack->open, room * sizeof *more);
    if (more == NULL)
        return false;
    stack->open = more;
    stack->room = room;
    return true;
}

void gt_spans_enter(PyCodeObject *code)
{
    if (!recording)
        return;
    spans_t *stack = mine;
    if (stack == NULL || stack->generation != generation) {
        stack = stack_make();
        if (stack == NULL)
            return;
    }
    if (stack->depth == stack->room && !grow(stack)) {
        stack->beyond++;
        return;
    }
    stack->open[stack->depth++] = (open_t){code, gt_clock_ns(&clock_state)};
}

static void write_span(PyCodeObject *code, uint32_t depth, uint64_t start, uint64_t end)
{
    const gt_arena_t *arena = gt_tap_arena();
    if (arena == NULL || !atomic_load_explicit(&arena->header->on, memory_order_relaxed) ||
        !gt_writable(arena, end))
        return;
    uint64_t payload = gt_frames_code(arena, code) | (uint64_t)depth << 16;
    if (gt_push(arena, &gt_self.writer, start, gt_event_data(GT_SPAN, 0, 0, payload)))
        gt_push(arena, &gt_self.writer, end, gt_event_data(GT_SPAN_END, 0, 0, payload));
}

void gt_spans_leave(PyCodeObject *code)
{
    spans_t *stack = mine;
    if (!recording || stack == NULL || stack->generation != generation)
        return;
    if (stack->beyond > 0) {
        stack->beyond--;
        return;
    }
    /* Normally the last one. It may have begun before we did, and those above it may have ended
     * unseen, while someone else had the profile slot. */
    uint32_t i = stack->depth;
    while (i > 0 && stack->open[i - 1].code != code)
        i--;
    if (i == 0)
        return;
    stack->depth = i - 1;
    uint64_t start = stack->open[i - 1].start_ns, end = gt_clock_ns(&clock_state);
    if (end - start >= least_ns)
        write_span(code, i, start, end);
}

void gt_spans_start(uint64_t least)
{
    if (!key_made)
        key_made = pthread_key_create(&at_thread_end, stack_free) == 0;
    least_ns = least;
    generation++;
    recording = key_made;
}

void gt_spans_stop(void)
{
    recording = false;
}

/* --- CPython 3.11: the profile slot -------------------------------------------------- */

#if PY_VERSION_HEX < 0x030C0000

static bool profiling;

static int profile(PyObject *Py_UNUSED(object), PyFrameObject *Py_UNUSED(frame), int what,
                   PyObject *Py_UNUSED(arg))
{
    if (what != PyTrace_CALL && what != PyTrace_RETURN)
        return 0;
    PyCodeObject *code = gt_frame_code(gt_top_frame(PyThreadState_Get()));
    if (what == PyTrace_CALL)
        gt_spans_enter(code);
    else
        gt_spans_leave(code);
    return 0;
}

static PyThreadState *first_thread(void)
{
    return PyInterpreterState_ThreadHead(PyInterpreterState_Main());
}

PyObject *gt_spans_profile(void)
{
    PyObject *taken = PyList_New(0);
    profiling = taken != NULL;
    for (PyThreadState *t = first_thread(); taken != NULL && t != NULL; t = PyThreadState_Next(t)) {
        if (t->c_profilefunc == NULL) {
            if (_PyEval_SetProfile(t, profile, NULL) != 0)
                Py_CLEAR(taken); /* an audit hook forbids it */
        } else if (t->c_profilefunc != profile) {
            PyObject *who = t->c_profileobj == NULL ? Py_None : (PyObject *)Py_TYPE(t->c_profileobj);
            if (PyList_Append(taken, who) != 0)
                Py_CLEAR(taken);
        }
    }
    return taken;
}

void gt_spans_unprofile(void)
{
    profiling = false;
    for (PyThreadState *t = first_thread(); t != NULL; t = PyThreadState_Next(t))
        if (t->c_profilefunc == profile && _PyEval_SetProfile(t, NULL, NULL) != 0)
            PyErr_Clear();
}

/* As _PyEval_SetProfile() does it (Python/ceval.c), but for the audit event, which could call
 * Python code: here the thread is not ready for that. */
void gt_spans_thread(void)
{
    PyThreadState *t = profiling ? PyGILState_GetThisThreadState() : NULL;
    if (t == NULL || t->interp != PyInterpreterState_Main() || t->c_profilefunc != NULL)
        return;
    t->c_profilefunc = profile;
    t->c_profileobj = NULL;
    if (t->tracing == 0)
        t->cframe->use_tracing = 255;
}

#else

PyObject *gt_spans_profile(void)
{
    return PyList_New(0);
}

void gt_spans_unprofile(void)
{
}

void gt_spans_thread(void)
{
}

#endif
