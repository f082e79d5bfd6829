#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "module.h"

#include "arena.h"
#include "calls.h"
#include "clock.h"
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* One process is recorded by one recording at a time, so this is the process's, not the
 * module object's. Guarded by the main interpreter's GIL. */
static gt_arena_t arena;
static void *memory;
static size_t memory_bytes;

/* The functions below let the GIL go while they work: one at a time. */
static _Atomic uint32_t changing; /* the thread that is at it; 0: none */

static bool begin_change(void)
{
    uint32_t me = (uint32_t)gettid(), nobody = 0;
    while (!atomic_compare_exchange_strong(&changing, &nobody, me)) {
        if (nobody == me) {
            /* Code of the target's that ran because we let an object of its go. */
            PyErr_SetString(gt_tap_error, "a recording is being started or stopped by this thread");
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
        gt_raise_tap(&error);
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
            gt_raise_tap(&error);
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
        return gt_raise_tap(&error);
    Py_RETURN_NONE;
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
        return gt_raise_tap(&error);
    return Py_BuildValue("{s:s,s:n,s:n,s:I}", "image",
                         facts.image[0] != 0 ? facts.image : "(the executable itself)",
                         "cond_offset", (Py_ssize_t)facts.cond_offset, "switch_cond_offset",
                         (Py_ssize_t)facts.switch_cond_offset, "attempts", facts.attempts);
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
        return gt_raise_tap(&error);
    Py_RETURN_NONE;
}

static PyObject *core_state(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    return Py_BuildValue("{s:O,s:O,s:I,s:I,s:I}", "installed", gt_tap_installed() ? Py_True : Py_False,
                         "recording", gt_tap_recording() ? Py_True : Py_False, "gils",
                         gt_tap_gils(), "interposed", gt_calls_count(), "policy",
                         (unsigned)gt_tap_policy());
}

/* The parent's arena is not ours, and no other thread is at work. */
void gt_tap_module_forked(void)
{
    unmap();
    end_change();
}

PyMethodDef gt_tap_methods[] = {
    {"start", (PyCFunction)(void (*)(void))core_start, METH_VARARGS | METH_KEYWORDS, start_doc},
    {"stop", core_stop, METH_NOARGS,
     "stop()\n\nStop recording, take the hooks out and let go of the arena; no-op otherwise."},
    {"install", core_install, METH_NOARGS,
     "install()\n\nPut the hooks in place without recording (to measure their idle cost); "
     "stop() takes them out."},
    {"probe", core_probe, METH_NOARGS,
     "probe() -> dict\n\nFind this interpreter's GIL without installing anything; raises TapError."},
    {"set_policy", core_set_policy, METH_O,
     "set_policy(policy)\n\nWho gets the GIL next: 0 as CPython has it, 1 by priority, 2 by "
     "priority and by account. Raises TapError if the GIL cannot be tapped here."},
    {"state", core_state, METH_NOARGS,
     "state() -> dict with installed, recording, gils, interposed, policy"},
    {NULL, NULL, 0, NULL},
};
