#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "arena.h"
#include "calls.h"
#include "clock.h"
#include "frames.h"
#include "guard.h"
#include "inject.h"
#include "reader.h"
#include "sched_reader.h"
#include "spans.h"
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* One process is recorded by one recording at a time, so this is the process's, not the
 * module object's. Guarded by the main interpreter's GIL. */
static gt_arena_t arena;
static void *memory;
static size_t memory_bytes;
static PyObject *TapError;

/* The functions below let the GIL go while they work: one at a time. */
static _Atomic uint32_t changing; /* the thread that is at it; 0: none */

static bool begin_change(void)
{
    uint32_t me = (uint32_t)gettid(), nobody = 0;
    while (!atomic_compare_exchange_strong(&changing, &nobody, me)) {
        if (nobody == me) {
            /* Code of the target's that ran because we let an object of its go. */
            PyErr_SetString(TapError, "a recording is being started or stopped by this thread");
            return false;
        }
        nobody = 0;
        PyThreadState *state = PyEval_SaveThread();
        sched_yield();
        PyEval_RestoreThread(state);
    }
    return true;
}

static void end_change(void)
{
    atomic_store(&changing, 0);
}

static PyObject *raise_tap(const gt_error_t *error)
{
    PyErr_SetString(TapError, error->message);
    return NULL;
}

static void unmap(void)
{
    if (memory != NULL)
        munmap(memory, memory_bytes);
    memory = NULL;
}

/* Create the file, with every page of it allocated and mapped now: a full file system must show
 * here, not as SIGBUS in the middle of the target's work, and no hook shall take a page fault. */
static bool map_new(const char *path, size_t bytes)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        PyErr_SetFromErrnoWithFilename(PyExc_OSError, path);
        return false;
    }
    int code;
    do
        code = posix_fallocate(fd, 0, (off_t)bytes);
    while (code == EINTR);
    void *at = MAP_FAILED;
    if (code == 0) {
        at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
        code = at == MAP_FAILED ? errno : 0;
    }
    close(fd);
    if (code != 0) {
        unlink(path);
        errno = code;
        PyErr_SetFromErrnoWithFilename(PyExc_OSError, path);
        return false;
    }
    memory = at;
    memory_bytes = bytes;
    return true;
}

PyDoc_STRVAR(start_doc,
             "start(path, info, *, slots=4096, chunks=4096, codes_bytes=8388608, stacks=1)\n\n"
             "Create the arena `path` and record this process into it until stop().\n"
             "Raises TapError if the GIL cannot be tapped here, OSError if there is no room.");

static PyObject *core_start(PyObject *Py_UNUSED(module), PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"path", "info", "slots", "chunks", "codes_bytes", "stacks", NULL};
    PyObject *path = NULL;
    Py_buffer info;
    unsigned n_slots = 4096, n_chunks = 4096, stacks = 1;
    unsigned long long codes_bytes = 8u << 20;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O&y*|$IIKI", names, PyUnicode_FSConverter,
                                     &path, &info, &n_slots, &n_chunks, &codes_bytes, &stacks))
        return NULL;
    PyObject *result = NULL;
    gt_error_t error = {"this process is being recorded already"};
    if (!begin_change()) {
        PyBuffer_Release(&info);
        Py_DECREF(path);
        return NULL;
    }
    if (memory != NULL) {
        raise_tap(&error);
    } else if (n_slots == 0 || n_chunks < 16 || info.len > GT_INFO_BYTES) {
        PyErr_SetString(PyExc_ValueError, "arena geometry or info out of range");
    } else if (map_new(PyBytes_AS_STRING(path),
                       gt_arena_bytes(n_slots, n_chunks, codes_bytes & ~7ull))) {
        gt_arena_init(&arena, memory, n_slots, n_chunks, codes_bytes & ~7ull);
        arena.header->pid = (uint32_t)getpid();
        arena.header->start_ns = gt_now_ns();
        arena.header->info_len = (uint32_t)info.len;
        memcpy(arena.header->info, info.buf, (size_t)info.len);
        atomic_store(&arena.header->on, 1);
        if (gt_tap_start(&arena, stacks, &error)) {
            atomic_store_explicit(&arena.header->ready, 1, memory_order_release);
            result = Py_NewRef(Py_None);
        } else {
            unlink(PyBytes_AS_STRING(path));
            unmap();
            raise_tap(&error);
        }
    }
    end_change();
    PyBuffer_Release(&info);
    Py_DECREF(path);
    return result;
}

static PyObject *core_stop(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    if (!begin_change())
        return NULL;
    gt_tap_stop();
    unmap();
    end_change();
    Py_RETURN_NONE;
}

static PyObject *core_install(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    gt_error_t error;
    if (!begin_change())
        return NULL;
    bool done = gt_tap_install(&error);
    end_change();
    if (!done)
        return raise_tap(&error);
    Py_RETURN_NONE;
}

static PyObject *core_arena_bytes(PyObject *Py_UNUSED(module), PyObject *args)
{
    unsigned n_slots, n_chunks;
    unsigned long long codes_bytes;
    if (!PyArg_ParseTuple(args, "IIK", &n_slots, &n_chunks, &codes_bytes))
        return NULL;
    return PyLong_FromSize_t(gt_arena_bytes(n_slots, n_chunks, codes_bytes & ~7ull));
}

static PyObject *core_probe(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    gt_error_t error;
    gt_tap_facts_t facts;
    if (!begin_change())
        return NULL;
    bool found = gt_tap_probe(&facts, &error);
    end_change();
    if (!found)
        return raise_tap(&error);
    return Py_BuildValue("{s:s,s:n,s:n,s:I}", "image",
                         facts.image[0] != 0 ? facts.image : "(the executable itself)",
                         "cond_offset", (Py_ssize_t)facts.cond_offset, "switch_cond_offset",
                         (Py_ssize_t)facts.switch_cond_offset, "attempts", facts.attempts);
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

/* The result is an OSError with the message if the kernel refused, a TapError otherwise. */
static PyObject *inject_failed(int code, const gt_error_t *error)
{
    if (code == 0)
        return raise_tap(error);
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

static PyObject *kept;

static PyObject *core_keep(PyObject *Py_UNUSED(module), PyObject *what)
{
    PyObject *before = kept != NULL ? kept : Py_NewRef(Py_None);
    kept = Py_NewRef(what);
    return before;
}

static PyObject *core_set_policy(PyObject *Py_UNUSED(module), PyObject *arg)
{
    long policy = PyLong_AsLong(arg);
    if (policy == -1 && PyErr_Occurred())
        return NULL;
    if (policy < GT_POLICY_CPYTHON || policy > GT_POLICY_AUTO) {
        PyErr_SetString(PyExc_ValueError, "there is no such policy");
        return NULL;
    }
    gt_error_t error;
    if (!begin_change())
        return NULL;
    bool done = gt_tap_set_policy((gt_policy_t)policy, &error);
    end_change();
    if (!done)
        return raise_tap(&error);
    Py_RETURN_NONE;
}

static PyObject *core_set_level(PyObject *Py_UNUSED(module), PyObject *args)
{
    unsigned tid;
    int level, lent = 0;
    if (!PyArg_ParseTuple(args, "Ii|p", &tid, &level, &lent))
        return NULL;
    if (!gt_tap_set_level(tid != 0 ? tid : gt_policy_tid(), level, lent)) {
        PyErr_SetString(TapError, "too many threads have been given priorities");
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

static PyObject *core_state(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    return Py_BuildValue("{s:O,s:O,s:I,s:I,s:I}", "installed", gt_tap_installed() ? Py_True : Py_False,
                         "recording", gt_tap_recording() ? Py_True : Py_False, "gils",
                         gt_tap_gils(), "interposed", gt_calls_count(), "policy",
                         (unsigned)gt_tap_policy());
}

/* In a forked child: the parent's arena is not ours, and no other thread is at work. */
static void forked(void)
{
    unmap();
    end_change();
}

static PyMethodDef methods[] = {
    {"start", (PyCFunction)(void (*)(void))core_start, METH_VARARGS | METH_KEYWORDS, start_doc},
    {"stop", core_stop, METH_NOARGS,
     "stop()\n\nStop recording, take the hooks out and let go of the arena; no-op otherwise."},
    {"install", core_install, METH_NOARGS,
     "install()\n\nPut the hooks in place without recording (to measure their idle cost); "
     "stop() takes them out."},
    {"arena_bytes", core_arena_bytes, METH_VARARGS,
     "arena_bytes(slots, chunks, codes_bytes) -> int\n\nHow much memory start() takes."},
    {"probe", core_probe, METH_NOARGS,
     "probe() -> dict\n\nFind this interpreter's GIL without installing anything; raises TapError."},
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
    {"inject", core_inject, METH_VARARGS,
     "inject(tid, pending, text, functions) -> bool\n\nMake another process run a line of Python: "
     "in a thread of its own, or as a pending call of the main thread `tid`. False: not now, the "
     "thread is not where that is safe. functions: addresses there, in the order of inject.h."},
    {"keep", core_keep, METH_O,
     "keep(object) -> object\n\nHold an object for as long as the process lives; returns the one "
     "that was held before."},
    {"finalizing", core_finalizing, METH_NOARGS,
     "finalizing()\n\nRead no more Python frames: the interpreter is shutting down."},
    {"set_policy", core_set_policy, METH_O,
     "set_policy(policy)\n\nWho gets the GIL next: 0 as CPython has it, 1 by priority, 2 by "
     "priority and by account. Raises TapError if the GIL cannot be tapped here."},
    {"set_level", core_set_level, METH_VARARGS,
     "set_level(native_id, level, lent=False)\n\nSet a thread's priority; native_id 0 is the caller. "
     "lent: until recording stops. Raises TapError if there is no room for it."},
    {"level", core_level, METH_VARARGS,
     "level(native_id) -> int\n\nA thread's priority; native_id 0 is the caller."},
    {"guard", core_guard, METH_VARARGS,
     "guard(memory) -> int\n\nSurvive that a mapped file is cut short by another process; returns a "
     "number for is_cut() and unguard(), which has to come before it is unmapped."},
    {"is_cut", core_is_cut, METH_O, "is_cut(number) -> bool\n\nWhether that has happened."},
    {"unguard", core_unguard, METH_O,
     "unguard(number)\n\nGuard it no more."},
    {"state", core_state, METH_NOARGS,
     "state() -> dict with installed, recording, gils, interposed, policy"},
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
    gt_tap_on_fork(forked);
    if (!gt_tap_setup(&error)) {
        PyErr_SetString(PyExc_ImportError, error.message);
        return -1;
    }
    if (TapError == NULL) {
        TapError = PyErr_NewExceptionWithDoc("giltrace._core.TapError",
                                             "The GIL of this interpreter cannot be tapped.",
                                             PyExc_RuntimeError, NULL);
        if (TapError == NULL)
            return -1;
    }
    PyObject *type = gt_reader_type(module), *sched = gt_sched_reader_type(module);
    if (type == NULL || PyModule_AddObjectRef(module, "ArenaReader", type) < 0 || sched == NULL ||
        PyModule_AddObjectRef(module, "SchedReader", sched) < 0 ||
        PyModule_AddObjectRef(module, "TapError", TapError) < 0 ||
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
