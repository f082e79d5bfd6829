#define _GNU_SOURCE
#include "compat.h"

#include "calls.h"

#include "got.h"

#include <stdlib.h>
#include <string.h>

#define MAX_NAME_BYTES 200

/* Every way in which a PyMethodDef's function is called (Include/methodobject.h) passes at most
 * five words, in registers. Handing on all five serves each of them: under the calling
 * conventions of x86-64 and aarch64 a callee does not see arguments it does not expect. */
typedef PyObject *(*function_t)(void *, void *, void *, void *, void *);

/* One function. Never used for another one: threads may be inside for as long as they like. */
typedef struct {
    function_t real;
    PyMethodDef *definition;
    char *name;
    gt_fd_t fd;
    bool told; /* the arena knows the name */
} entry_t;

/* The innermost call that a thread is in. */
typedef struct {
    const void *frame, *instruction;
    void *subject; /* what the file descriptor is found by; lives as long as the call */
    uint32_t id;   /* index + 1; 0: none */
} call_t;

static _Thread_local call_t current __attribute__((tls_model("initial-exec")));

static entry_t entries[GT_MAX_CALLS];
static unsigned n_entries;

/* The arguments are `self, args, n, ...` where the flags say METH_FASTCALL, `self, arg` or
 * `self, tuple` otherwise. */
static __attribute__((noinline)) void enter(unsigned index, void *self, void *args, void *n)
{
    const entry_t *entry = &entries[index];
    call_t call = {.id = index + 1};
    PyThreadState *tstate = gt_thread_state();
    gt_frame_t *frame = tstate != NULL ? gt_top_frame(tstate) : NULL;
    if (frame != NULL) {
        call.frame = frame;
        call.instruction = gt_frame_instruction(frame);
    }
    if (entry->fd == GT_FD_SELF)
        call.subject = self;
    else if (entry->fd == GT_FD_ARGUMENT && (intptr_t)n > 0)
        call.subject = *(void **)args;
    current = call;
}

static inline __attribute__((always_inline)) PyObject *through(unsigned index, void *a, void *b,
                                                               void *c, void *d, void *e)
{
    call_t outer = current;
    enter(index, a, b, c);
    PyObject *result = entries[index].real(a, b, c, d, e);
    current = outer;
    return result;
}

/* A thunk is not told which function it stands for, so there is one for each; `i` is octal. */
#define THUNK(i)                                                                                 \
    static PyObject *thunk_##i(void *a, void *b, void *c, void *d, void *e)                      \
    {                                                                                            \
        return through(i, a, b, c, d, e);                                                        \
    }
#define EIGHT(M, i) M(i##0) M(i##1) M(i##2) M(i##3) M(i##4) M(i##5) M(i##6) M(i##7)
#define SIXTY_FOUR(M, i)                                                                         \
    EIGHT(M, i##0) EIGHT(M, i##1) EIGHT(M, i##2) EIGHT(M, i##3)                                  \
    EIGHT(M, i##4) EIGHT(M, i##5) EIGHT(M, i##6) EIGHT(M, i##7)
#define ALL(M)                                                                                   \
    SIXTY_FOUR(M, 00) SIXTY_FOUR(M, 01) SIXTY_FOUR(M, 02) SIXTY_FOUR(M, 03)                      \
    SIXTY_FOUR(M, 04) SIXTY_FOUR(M, 05) SIXTY_FOUR(M, 06) SIXTY_FOUR(M, 07)
#define NAME(i) thunk_##i,

ALL(THUNK)

static const function_t thunks[] = {ALL(NAME)};

_Static_assert(sizeof thunks / sizeof thunks[0] == GT_MAX_CALLS, "one thunk for each entry");

/* --- Interposing --------------------------------------------------------------------- */

/* Cython's functions are a type of their own that begins as PyCFunctionObject does
 * (Cython/Utility/CythonFunction.c); where it does not, the pointer will not lead into an image. */
static bool is_cython(PyObject *callable)
{
    const char *name = strrchr(Py_TYPE(callable)->tp_name, '.');
    name = name != NULL ? name + 1 : Py_TYPE(callable)->tp_name;
    return strcmp(name, "cython_function_or_method") == 0 &&
           Py_TYPE(callable)->tp_basicsize >= (Py_ssize_t)sizeof(PyCFunctionObject);
}

static PyMethodDef *definition_of(PyObject *callable)
{
    if (PyCFunction_Check(callable) || is_cython(callable))
        return ((PyCFunctionObject *)callable)->m_ml;
    if (Py_IS_TYPE(callable, &PyMethodDescr_Type) || Py_IS_TYPE(callable, &PyClassMethodDescr_Type))
        return ((PyMethodDescrObject *)callable)->d_method;
    return NULL;
}

static function_t swap(PyMethodDef *definition, function_t function)
{
    function_t old = (function_t)(void (*)(void))definition->ml_meth;
    atomic_store((_Atomic(function_t) *)&definition->ml_meth, function);
    return old;
}

static bool is_ours(const entry_t *entry)
{
    return (function_t)(void (*)(void))entry->definition->ml_meth == thunks[entry - entries];
}

bool gt_calls_interpose(PyObject *callable, const char *name, gt_fd_t fd)
{
    PyMethodDef *definition = definition_of(callable);
    gt_image_t image;
    /* Definitions that are made at run time may go away; constant ones are left alone. */
    if (definition == NULL || !gt_is_image_data(definition, sizeof *definition) ||
        !gt_image_find(&image, definition->ml_name))
        return false;
    const char *last = strrchr(name, '.');
    if (last == NULL || strcmp(last + 1, definition->ml_name) != 0)
        return false;
    entry_t *entry = entries;
    while (entry < entries + n_entries && entry->definition != definition)
        entry++;
    if (entry == entries + n_entries) {
        char *copy = n_entries < GT_MAX_CALLS ? strndup(name, MAX_NAME_BYTES) : NULL;
        if (copy == NULL)
            return false;
        bool fast = definition->ml_flags & METH_FASTCALL && !(definition->ml_flags & METH_METHOD);
        entry->definition = definition;
        entry->name = copy;
        entry->fd = fd == GT_FD_ARGUMENT && !fast ? GT_FD_NONE : fd;
        n_entries++;
    }
    if (!is_ours(entry)) {
        entry->real = (function_t)(void (*)(void))definition->ml_meth;
        swap(definition, thunks[entry - entries]);
    }
    return true;
}

void gt_calls_restore(void)
{
    for (entry_t *entry = entries; entry < entries + n_entries; entry++)
        if (is_ours(entry))
            swap(entry->definition, entry->real);
}

unsigned gt_calls_count(void)
{
    unsigned n = 0;
    for (entry_t *entry = entries; entry < entries + n_entries; entry++)
        n += is_ours(entry);
    return n;
}

void gt_calls_reset(void)
{
    for (unsigned i = 0; i < n_entries; i++)
        entries[i].told = false;
}

/* --- At a release -------------------------------------------------------------------- */

static bool tell(const gt_arena_t *arena, entry_t *entry)
{
    uint32_t length = (uint32_t)strlen(entry->name);
    gt_code_record_t head = {.code = (uint32_t)(entry - entries) + 1,
                             .qualname_chars = length,
                             .filename_kind = 1,
                             .qualname_kind = 1,
                             .is_call = 1};
    uint32_t size = (uint32_t)((sizeof head + length + 7) & ~(size_t)7);
    gt_code_record_t *record = gt_code_claim(arena, size);
    if (record == NULL)
        return false;
    memcpy(gt_code_head(record, &head), entry->name, length);
    atomic_store_explicit(&record->size, size, memory_order_release);
    return entry->told = true;
}

/* The value of a small int, without calling into it; -1: it is none. */
static int small_int(PyObject *object)
{
    if (!PyLong_CheckExact(object))
        return -1;
    PyLongObject *number = (PyLongObject *)object;
#if PY_VERSION_HEX >= 0x030C0000
    Py_ssize_t value = PyUnstable_Long_IsCompact(number) ? PyUnstable_Long_CompactValue(number) : -1;
    return value <= INT32_MAX ? (int)value : -1;
#else
    return Py_SIZE(number) == 0 ? 0 : Py_SIZE(number) == 1 ? (int)number->ob_digit[0] : -1;
#endif
}

unsigned gt_calls_current(const gt_arena_t *arena, const gt_position_t *position, int *fd)
{
    if (current.id == 0 || current.frame != position->frame ||
        current.instruction != position->instruction)
        return 0;
    entry_t *entry = &entries[current.id - 1];
    if (!entry->told && !tell(arena, entry))
        return 0;
    if (entry->fd == GT_FD_SELF)
        *fd = *(const int *)((const char *)current.subject + sizeof(PyObject));
    else if (entry->fd == GT_FD_ARGUMENT && current.subject != NULL)
        *fd = small_int(current.subject);
    return current.id;
}
