#define _GNU_SOURCE
#include "sched_reader.h"

#include "sched.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct {
    PyObject_HEAD
    gt_sched_ring_t *rings;
    Py_ssize_t n_rings;
    unsigned tid_at, own_tid;
    size_t pages;
    unsigned char *buffer; /* room for one ring */
} reader_t;

static void release(reader_t *self)
{
    for (Py_ssize_t i = 0; i < self->n_rings; i++)
        gt_sched_close(&self->rings[i]);
    free(self->rings);
    free(self->buffer);
    self->rings = NULL;
    self->buffer = NULL;
    self->n_rings = 0;
}

static void reader_dealloc(reader_t *self)
{
    PyTypeObject *type = Py_TYPE(self);
    release(self);
    type->tp_free(self);
    Py_DECREF(type);
}

/* Rings for all these CPUs but those that are not there (any more). */
static bool open_all(reader_t *self, PyObject *cpus, unsigned wakeups)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(cpus); i++) {
        unsigned long cpu = PyLong_AsUnsignedLong(PyTuple_GET_ITEM(cpus, i));
        if (cpu == (unsigned long)-1 && PyErr_Occurred())
            return false;
        const char *call = NULL;
        if (gt_sched_open(&self->rings[self->n_rings], (unsigned)cpu, self->pages, wakeups, &call)) {
            self->n_rings++;
        } else if (errno != ENODEV) {
            PyErr_SetFromErrnoWithFilename(PyExc_OSError, call);
            return false;
        }
    }
    if (self->n_rings != 0)
        return true;
    errno = ENODEV;
    PyErr_SetFromErrnoWithFilename(PyExc_OSError, "perf_event_open");
    return false;
}

static PyObject *reader_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"cpus", "pages", "wakeups", "tid_at", NULL};
    PyObject *cpus = NULL;
    unsigned pages = 0, wakeups = 0, tid_at = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!I|$II", names, &PyTuple_Type, &cpus, &pages,
                                     &wakeups, &tid_at))
        return NULL;
    reader_t *self = (reader_t *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->pages = pages;
    self->tid_at = tid_at;
    self->own_tid = (unsigned)gettid();
    self->rings = calloc((size_t)PyTuple_GET_SIZE(cpus) + 1, sizeof *self->rings);
    self->buffer = malloc((size_t)pages * (size_t)sysconf(_SC_PAGESIZE) + 1);
    if (self->rings == NULL || self->buffer == NULL)
        PyErr_NoMemory();
    else if (open_all(self, cpus, wakeups))
        return (PyObject *)self;
    Py_DECREF(self);
    return NULL;
}

static bool is_open(reader_t *self)
{
    if (self->rings == NULL)
        PyErr_SetString(PyExc_ValueError, "the reader is closed");
    return self->rings != NULL;
}

/* Rows are never longer than the records they are made of, so one ring's fit where it was. */
static bool append_rows(reader_t *self, gt_sched_ring_t *ring, PyObject *list)
{
    size_t bytes = gt_sched_take(ring, self->buffer);
    if (bytes == 0)
        return true;
    PyObject *rows = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)bytes);
    if (rows == NULL)
        return false;
    size_t taken = gt_sched_decode(self->buffer, bytes, self->tid_at, self->own_tid,
                                   (gt_sched_row_t *)(void *)PyBytes_AS_STRING(rows));
    if (_PyBytes_Resize(&rows, (Py_ssize_t)(taken * sizeof(gt_sched_row_t))) != 0)
        return false;
    int failed = PyList_Append(list, rows);
    Py_DECREF(rows);
    return failed == 0;
}

static PyObject *reader_drain(reader_t *self, PyObject *Py_UNUSED(none))
{
    if (!is_open(self))
        return NULL;
    PyObject *list = PyList_New(0);
    for (Py_ssize_t i = 0; list != NULL && i < self->n_rings; i++)
        if (!append_rows(self, &self->rings[i], list))
            Py_CLEAR(list);
    return list;
}

static PyObject *reader_lost(reader_t *self, PyObject *Py_UNUSED(none))
{
    if (!is_open(self))
        return NULL;
    PyObject *list = PyList_New(0);
    for (Py_ssize_t i = 0; list != NULL && i < self->n_rings; i++) {
        long long lost = gt_sched_lost(&self->rings[i]);
        PyObject *item = lost < 0 ? NULL : Py_BuildValue("(iL)", self->rings[i].cpu, lost);
        if (lost >= 0 && (item == NULL || PyList_Append(list, item) != 0))
            Py_CLEAR(list);
        Py_XDECREF(item);
    }
    return list;
}

static PyObject *reader_close(reader_t *self, PyObject *Py_UNUSED(none))
{
    release(self);
    Py_RETURN_NONE;
}

static PyObject *reader_capacity(reader_t *self, void *Py_UNUSED(closure))
{
    return PyLong_FromSize_t(self->pages * (size_t)sysconf(_SC_PAGESIZE));
}

static PyMethodDef methods[] = {
    {"drain", (PyCFunction)reader_drain, METH_NOARGS,
     "drain() -> [rows, ...]\n\nTake what the kernel has written since the last call: 16 bytes for "
     "each row, in the order of time for one CPU."},
    {"lost", (PyCFunction)reader_lost, METH_NOARGS,
     "lost() -> [(cpu, records), ...]\n\nHow many records found no room so far; empty where the "
     "kernel does not tell."},
    {"close", (PyCFunction)reader_close, METH_NOARGS,
     "close()\n\nThe kernel records no more, in no process."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef getset[] = {
    {"capacity", (getter)reader_capacity, NULL, "bytes of records that one CPU's ring can hold", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, reader_new},
    {Py_tp_dealloc, reader_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, getset},
    {Py_tp_doc,
     "SchedReader(cpus, pages, *, wakeups=0, tid_at=0): what the kernel does with the threads of "
     "the processes that the calling thread starts from now on, and of theirs.\n\n"
     "wakeups is the id of the tracepoint sched_wakeup and tid_at where in its record the thread "
     "id is; 0: wake-ups are not recorded. Raises OSError, whose filename is the call that failed: "
     "perf_event_open, mmap (no right to so many pages) or wakeups."},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "giltrace._core.SchedReader",
    .basicsize = sizeof(reader_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

PyObject *gt_sched_reader_type(PyObject *module)
{
    return PyType_FromModuleAndSpec(module, &spec, NULL);
}
