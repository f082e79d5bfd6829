/* Every difference between CPython versions that the tap has to know.
 *
 * Frames are read through CPython's own internal headers, so an extension built
 * for one minor version serves that version only (docs/adr/0002).
 * Layouts: Include/internal/pycore_frame.h (3.11 to 3.13) and
 * pycore_interpframe_structs.h (3.14 on) of the CPython sources.
 */
#ifndef GT_COMPAT_H
#define GT_COMPAT_H

#ifndef Py_BUILD_CORE
#define Py_BUILD_CORE 1
#endif
#include <Python.h>

#if PY_VERSION_HEX < 0x030B0000
#error "giltrace needs CPython 3.11 or later"
#endif

#if PY_VERSION_HEX >= 0x030E0000
#include "internal/pycore_interpframe_structs.h"
#else
#include "internal/pycore_frame.h"
#endif
#ifdef Py_GIL_DISABLED
#include "internal/pycore_interp.h"
#endif
#undef Py_BUILD_CORE

#include <limits.h>
#include <opcode.h>
#include <stdbool.h>

typedef struct _PyInterpreterFrame gt_frame_t;

/* The calling thread's state, NULL if it has none. */
static inline PyThreadState *gt_thread_state(void)
{
#if PY_VERSION_HEX >= 0x030D0000
    return PyThreadState_GetUnchecked();
#else
    return _PyThreadState_UncheckedGet();
#endif
}

static inline gt_frame_t *gt_top_frame(PyThreadState *tstate)
{
#if PY_VERSION_HEX >= 0x030D0000
    return tstate->current_frame;
#else
    return tstate->cframe->current_frame;
#endif
}

/* Whether the main interpreter's GIL is there to stay. A free-threaded interpreter without one has
 * it for a moment while it imports an extension module (pycore_gil.h: enabled). Context: that
 * interpreter's thread state is current. */
static inline bool gt_gil_stays(void)
{
#ifdef Py_GIL_DISABLED
    return __atomic_load_n(&PyInterpreterState_Main()->ceval.gil->enabled, __ATOMIC_RELAXED) == INT_MAX;
#else
    return true;
#endif
}

/* The frame's code object (borrowed), or NULL for frames that run no Python code
 * (entry trampolines, and frames not yet past their prologue). */
static inline PyCodeObject *gt_frame_code(gt_frame_t *frame)
{
#if PY_VERSION_HEX >= 0x030E0000
    if (frame->owner >= FRAME_OWNED_BY_INTERPRETER)
        return NULL;
    /* The low bits of a _PyStackRef are tags (pycore_stackref.h). */
    PyObject *executable = (PyObject *)(frame->f_executable.bits & ~(uintptr_t)3);
    return executable != NULL && PyCode_Check(executable) ? (PyCodeObject *)executable : NULL;
#elif PY_VERSION_HEX >= 0x030D0000
    PyObject *executable = frame->f_executable;
    if (frame->owner == FRAME_OWNED_BY_CSTACK || executable == NULL || !PyCode_Check(executable))
        return NULL;
    return (PyCodeObject *)executable;
#elif PY_VERSION_HEX >= 0x030C0000
    return frame->owner == FRAME_OWNED_BY_CSTACK ? NULL : frame->f_code;
#else
    return frame->f_code;
#endif
}

/* The instruction the frame stands at. */
static inline _Py_CODEUNIT *gt_frame_instruction(gt_frame_t *frame)
{
#if PY_VERSION_HEX >= 0x030D0000
    return frame->instr_ptr;
#else
    return frame->prev_instr;
#endif
}

static inline _Py_CODEUNIT *gt_frame_bytecode(gt_frame_t *frame, PyCodeObject *code)
{
#if PY_VERSION_HEX >= 0x030E0000 && defined(Py_GIL_DISABLED)
    /* Each thread may run a copy of its own (thread-local bytecode). */
    return (_Py_CODEUNIT *)code->co_tlbc->entries[frame->tlbc_index];
#else
    (void)frame;
    return (_Py_CODEUNIT *)code->co_code_adaptive;
#endif
}

/* Instructions that only look at the eval breaker: a release made there is CPython's
 * eval loop letting go (Python/ceval.c: CHECK_EVAL_BREAKER / _CHECK_PERIODIC), since
 * no C function is being called. After a call the same check stands on the CALL itself,
 * where it cannot be told from the callee's own release, so calls are left out. */
static inline bool gt_is_check_point(_Py_CODEUNIT *instruction)
{
    switch (*(const unsigned char *)instruction) {
    case RESUME:
    case JUMP_BACKWARD:
#ifdef RESUME_QUICK
    case RESUME_QUICK:
#endif
#ifdef RESUME_CHECK
    case RESUME_CHECK:
#endif
#ifdef RESUME_CHECK_JIT
    case RESUME_CHECK_JIT:
#endif
#ifdef INSTRUMENTED_RESUME
    case INSTRUMENTED_RESUME:
#endif
#ifdef JUMP_BACKWARD_QUICK
    case JUMP_BACKWARD_QUICK:
#endif
#ifdef JUMP_BACKWARD_JIT
    case JUMP_BACKWARD_JIT:
#endif
#ifdef JUMP_BACKWARD_NO_JIT
    case JUMP_BACKWARD_NO_JIT:
#endif
#ifdef POP_JUMP_BACKWARD_IF_FALSE /* 3.11 only: conditional jumps back check too */
    case POP_JUMP_BACKWARD_IF_FALSE:
    case POP_JUMP_BACKWARD_IF_TRUE:
    case POP_JUMP_BACKWARD_IF_NONE:
    case POP_JUMP_BACKWARD_IF_NOT_NONE:
#endif
#ifdef INSTRUMENTED_JUMP_BACKWARD
    case INSTRUMENTED_JUMP_BACKWARD:
#endif
        return true;
    default:
        return false;
    }
}

#endif
