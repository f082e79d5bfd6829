#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "module.h"

#include "arena.h"
#include "guard.h"
#include "inject.h"

static PyObject *core_arena_bytes(PyObject *Py_UNUSED(module), PyObject *args)
{
    unsigned n_slots, n_chunks;
    unsigned long long codes_bytes;
    if (!PyArg_ParseTuple(args, "IIK", &n_slots, &n_chunks, &codes_bytes))
        return NULL;
    return PyLong_FromSize_t(gt_arena_bytes(n_slots, n_chunks, codes_bytes & ~7ull));
}

/* The result is an OSError with the message if the kernel refused, a TapError otherwise. */
static PyObject *inject_failed(int code, const gt_error_t *error)
{
    if (code == 0)
        return gt_raise_tap(error);
    PyObject *reason = Py_BuildValue("(is)", code, error->message);
    if (reason != NULL)
        PyErr_SetObject(PyExc_OSError, reason);
    Py_XDECREF(reason);
    return NULL;
}

static PyObject *core_inject(PyObject *Py_UNUSED(module), PyObject *args)
{
    int tid, pending, code = 0;
    const char *text;
    Py_ssize_t length;
    gt_functions_t f;
    gt_error_t error;
    if (!PyArg_ParseTuple(args, "ipy#(KKKKKKKKKK)", &tid, &pending, &text, &length, &f.mmap,
                          &f.mprotect, &f.munmap, &f.pthread_create, &f.pthread_detach,
                          &f.is_initialized, &f.add_pending_call, &f.ensure, &f.release, &f.run))
        return NULL;
    gt_injected_t outcome;
    Py_BEGIN_ALLOW_THREADS
    outcome = gt_inject(tid, pending ? GT_INJECT_PENDING : GT_INJECT_THREAD, &f, text,
                        (size_t)length, &code, &error);
    Py_END_ALLOW_THREADS
    return outcome == GT_INJECT_FAILED ? inject_failed(code, &error)
                                       : PyBool_FromLong(outcome == GT_INJECTED);
}

static PyObject *core_guard(PyObject *Py_UNUSED(module), PyObject *args)
{
    Py_buffer memory;
    if (!PyArg_ParseTuple(args, "w*", &memory))
        return NULL;
    int number = gt_guard(memory.buf, (size_t)memory.len);
    PyBuffer_Release(&memory);
    return PyLong_FromLong(number);
}

static PyObject *core_unguard(PyObject *Py_UNUSED(module), PyObject *arg)
{
    int number = (int)PyLong_AsLong(arg);
    if (number == -1 && PyErr_Occurred())
        return NULL;
    gt_unguard(number);
    Py_RETURN_NONE;
}

static PyObject *core_is_cut(PyObject *Py_UNUSED(module), PyObject *arg)
{
    int number = (int)PyLong_AsLong(arg);
    if (number == -1 && PyErr_Occurred())
        return NULL;
    return PyBool_FromLong(gt_guard_cut(number));
}

PyMethodDef gt_recorder_methods[] = {
    {"arena_bytes", core_arena_bytes, METH_VARARGS,
     "arena_bytes(slots, chunks, codes_bytes) -> int\n\nHow much memory start() takes."},
    {"inject", core_inject, METH_VARARGS,
     "inject(tid, pending, text, functions) -> bool\n\nMake another process run a line of Python: "
     "in a thread of its own, or as a pending call of the main thread `tid`. False: not now, the "
     "thread is not where that is safe. functions: addresses there, in the order of inject.h."},
    {"guard", core_guard, METH_VARARGS,
     "guard(memory) -> int\n\nSurvive that a mapped file is cut short by another process; returns a "
     "number for is_cut() and unguard(), which has to come before it is unmapped."},
    {"is_cut", core_is_cut, METH_O, "is_cut(number) -> bool\n\nWhether that has happened."},
    {"unguard", core_unguard, METH_O,
     "unguard(number)\n\nGuard it no more."},
    {NULL, NULL, 0, NULL},
};
