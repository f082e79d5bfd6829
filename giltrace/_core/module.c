#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "module.h"

#include "arena.h"
#include "calls.h"
#include "frames.h"
#include "reader.h"
#include "sched_reader.h"
#include "spans.h"
#include "tap.h"

PyObject *gt_tap_error;

PyObject *gt_raise_tap(const gt_error_t *error)
{
    PyErr_SetString(gt_tap_error, error->message);
    return NULL;
}

static PyObject *core_name_thread(PyObject *Py_UNUSED(module), PyObject *args)
{
    unsigned tid;
    const char *name;
    Py_ssize_t length;
    if (!PyArg_ParseTuple(args, "Iy#", &tid, &name, &length))
        return NULL;
    return PyBool_FromLong(gt_tap_name_thread(tid, name, (size_t)length));
}

static PyObject *core_interpose(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *callable;
    const char *name;
    int fd;
    if (!PyArg_ParseTuple(args, "Osi", &callable, &name, &fd))
        return NULL;
    return PyBool_FromLong(gt_calls_interpose(callable, name, (gt_fd_t)fd));
}

static PyObject *core_restore(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    gt_calls_restore();
    Py_RETURN_NONE;
}

static PyObject *core_spans(PyObject *Py_UNUSED(module), PyObject *arg)
{
    unsigned long long least_ns = PyLong_AsUnsignedLongLong(arg);
    if (least_ns == (unsigned long long)-1 && PyErr_Occurred())
        return NULL;
    gt_spans_start(least_ns);
    return gt_spans_profile();
}

static PyObject *core_spans_stop(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    gt_spans_unprofile();
    gt_spans_stop();
    Py_RETURN_NONE;
}

/* Callbacks of sys.monitoring: (code, offset) or (code, offset, value). */
static PyObject *core_enter(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t n)
{
    if (n > 0 && PyCode_Check(args[0]))
        gt_spans_enter((PyCodeObject *)args[0]);
    Py_RETURN_NONE;
}

static PyObject *core_leave(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t n)
{
    if (n > 0 && PyCode_Check(args[0]))
        gt_spans_leave((PyCodeObject *)args[0]);
    Py_RETURN_NONE;
}

static PyObject *core_finalizing(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    gt_frames_close();
    Py_RETURN_NONE;
}

static _Atomic(PyObject *) kept;

static PyObject *core_keep(PyObject *Py_UNUSED(module), PyObject *what)
{
    PyObject *before = atomic_exchange(&kept, Py_NewRef(what));
    return before != NULL ? before : Py_NewRef(Py_None);
}

static PyObject *core_set_level(PyObject *Py_UNUSED(module), PyObject *args)
{
    unsigned tid;
    int level, lent = 0;
    if (!PyArg_ParseTuple(args, "Ii|p", &tid, &level, &lent))
        return NULL;
    if (!gt_tap_set_level(tid != 0 ? tid : gt_policy_tid(), level, lent)) {
        PyErr_SetString(gt_tap_error, "too many threads have been given priorities");
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *core_level(PyObject *Py_UNUSED(module), PyObject *args)
{
    unsigned tid;
    if (!PyArg_ParseTuple(args, "I", &tid))
        return NULL;
    return PyLong_FromLong(gt_tap_level(tid != 0 ? tid : gt_policy_tid()));
}

static PyMethodDef methods[] = {
    {"name_thread", core_name_thread, METH_VARARGS,
     "name_thread(native_id, name) -> bool\n\nName a thread in the recording; name is UTF-8 bytes."},
    {"interpose", core_interpose, METH_VARARGS,
     "interpose(callable, name, fd) -> bool\n\nLet releases inside a C function carry its name. "
     "fd: 0 it has no file descriptor, 1 its object is one, 2 its first argument is. False: it is "
     "no function that can be interposed on."},
    {"restore", core_restore, METH_NOARGS,
     "restore()\n\nPut all functions that were interposed on back as found."},
    {"spans", core_spans, METH_O,
     "spans(least_ns) -> list\n\nRecord function calls that take at least so long. In CPython 3.11 "
     "this takes the threads' profile slots; returns what type of thing has those that are taken."},
    {"spans_stop", core_spans_stop, METH_NOARGS,
     "spans_stop()\n\nRecord no more function calls; gives the profile slots back."},
    {"enter", (PyCFunction)(void (*)(void))core_enter, METH_FASTCALL,
     "enter(code, ...)\n\nThe calling thread enters a function, or goes on in a generator."},
    {"leave", (PyCFunction)(void (*)(void))core_leave, METH_FASTCALL,
     "leave(code, ...)\n\nThe calling thread leaves a function, or pauses in a generator."},
    {"keep", core_keep, METH_O,
     "keep(object) -> object\n\nHold an object for as long as the process lives; returns the one "
     "that was held before."},
    {"finalizing", core_finalizing, METH_NOARGS,
     "finalizing()\n\nRead no more Python frames: the interpreter is shutting down."},
    {"set_level", core_set_level, METH_VARARGS,
     "set_level(native_id, level, lent=False)\n\nSet a thread's priority; native_id 0 is the caller. "
     "lent: until recording stops. Raises TapError if there is no room for it."},
    {"level", core_level, METH_VARARGS,
     "level(native_id) -> int\n\nA thread's priority; native_id 0 is the caller."},
    {NULL, NULL, 0, NULL},
};

static int module_exec(PyObject *module)
{
    gt_error_t error;
    /* As the slot below says of those with a GIL of their own; CPython asks it of no others. */
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        PyErr_SetString(PyExc_ImportError,
                        "giltrace serves the main interpreter, and cannot be imported in a "
                        "subinterpreter");
        return -1;
    }
    gt_tap_on_fork(gt_tap_module_forked);
    if (!gt_tap_setup(&error)) {
        PyErr_SetString(PyExc_ImportError, error.message);
        return -1;
    }
    if (gt_tap_error == NULL) {
        gt_tap_error = PyErr_NewExceptionWithDoc("giltrace._core.TapError",
                                                 "The GIL of this interpreter cannot be tapped.",
                                                 PyExc_RuntimeError, NULL);
        if (gt_tap_error == NULL)
            return -1;
    }
    PyObject *type = gt_reader_type(module), *sched = gt_sched_reader_type(module);
    if (PyModule_AddFunctions(module, gt_tap_methods) < 0 ||
        PyModule_AddFunctions(module, gt_recorder_methods) < 0 || type == NULL ||
        PyModule_AddObjectRef(module, "ArenaReader", type) < 0 || sched == NULL ||
        PyModule_AddObjectRef(module, "SchedReader", sched) < 0 ||
        PyModule_AddObjectRef(module, "TapError", gt_tap_error) < 0 ||
        PyModule_AddIntConstant(module, "FORMAT", GT_FORMAT) < 0 ||
        PyModule_AddIntConstant(module, "EVENT_BYTES", sizeof(gt_event_t)) < 0 ||
        PyModule_AddIntConstant(module, "CHUNK_EVENTS", GT_CHUNK_EVENTS) < 0 ||
        PyModule_AddIntConstant(module, "INFO_BYTES", GT_INFO_BYTES) < 0 ||
        PyModule_AddIntConstant(module, "NAME_BYTES", GT_NAME_BYTES) < 0) {
        Py_XDECREF(type);
        Py_XDECREF(sched);
        return -1;
    }
    Py_DECREF(type);
    Py_DECREF(sched);
    return 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, module_exec},
#if PY_VERSION_HEX >= 0x030C0000
    /* The state is the process's and guarded by the main interpreter's GIL. */
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
#if PY_VERSION_HEX >= 0x030D0000
    /* Importing giltrace must never turn a free-threaded build's GIL on. */
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "giltrace._core",
    .m_doc = "The GIL tap and the recorder's side of its arena (see docs: how the tap works).",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&definition);
}
