#define _GNU_SOURCE
#include "reader.h"

#include "arena.h"
#include "guard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* A drain takes no more: so what it needs stays the same however far the reader is behind. */
#define MOST_EVENTS 65536

typedef struct {
    uint32_t generation, name_seq;
} seen_t;

/* The target may be misbehaving: whatever is read from its memory is checked before it is
 * used as an index or a length. */
typedef struct {
    PyObject_HEAD
    gt_arena_t arena;
    void *memory;
    size_t bytes;
    int guard;
    uint64_t codes_read;
    seen_t *seen; /* per slot: what has been told of it */
    gt_event_t *buffer;
    size_t room;   /* of the buffer, in events */
    uint32_t turn; /* the slot with which the next drain begins */
} reader_t;

static void release(reader_t *self)
{
    if (self->memory != NULL) {
        gt_unguard(self->guard);
        munmap(self->memory, self->bytes);
    }
    free(self->seen);
    free(self->buffer);
    self->memory = NULL;
    self->seen = NULL;
    self->buffer = NULL;
}

static size_t capacity(reader_t *self)
{
    return (size_t)self->arena.n_chunks * GT_CHUNK_EVENTS;
}

static void reader_dealloc(reader_t *self)
{
    PyTypeObject *type = Py_TYPE(self);
    release(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static bool map_file(reader_t *self, const char *path, uid_t owner)
{
    int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0) {
        PyErr_SetFromErrnoWithFilename(PyExc_OSError, path);
        if (fd >= 0)
            close(fd);
        return false;
    }
    if (!S_ISREG(status.st_mode) || status.st_uid != owner) {
        close(fd);
        PyErr_SetString(PyExc_PermissionError, "not a file of the user who is recorded");
        return false;
    }
    self->bytes = (size_t)status.st_size;
    if (self->bytes < sizeof(gt_header_t)) {
        close(fd);
        PyErr_SetString(PyExc_BlockingIOError, "the arena is not ready yet");
        return false;
    }
    void *memory = mmap(NULL, self->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (memory == MAP_FAILED) {
        PyErr_SetFromErrnoWithFilename(PyExc_OSError, path);
        return false;
    }
    self->memory = memory;
    self->guard = gt_guard(memory, self->bytes);
    return true;
}

/* `result`, unless it was made of what is no longer there. Steals it. */
static PyObject *unless_cut(reader_t *self, PyObject *result)
{
    if (result == NULL || !gt_guard_cut(self->guard))
        return result;
    Py_DECREF(result);
    PyErr_SetString(PyExc_ValueError, "it was cut short");
    return NULL;
}

static PyObject *reader_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"path", "owner", NULL};
    PyObject *path = NULL;
    unsigned owner = geteuid();
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O&|I", names, PyUnicode_FSConverter, &path, &owner))
        return NULL;
    reader_t *self = (reader_t *)type->tp_alloc(type, 0);
    if (self == NULL || !map_file(self, PyBytes_AS_STRING(path), owner))
        goto fail;
    gt_header_t *header = self->memory;
    if (!atomic_load_explicit(&header->ready, memory_order_acquire)) {
        PyErr_SetString(PyExc_BlockingIOError, "the arena is not ready yet");
        goto fail;
    }
    if (!gt_arena_view(&self->arena, self->memory, self->bytes)) {
        PyErr_SetString(PyExc_ValueError, "not an arena of this version of giltrace");
        goto fail;
    }
    self->room = capacity(self) < MOST_EVENTS ? capacity(self) : MOST_EVENTS;
    self->buffer = malloc(self->room * sizeof *self->buffer);
    self->seen = calloc(self->arena.n_slots, sizeof *self->seen);
    if (self->buffer == NULL || self->seen == NULL) {
        PyErr_NoMemory();
        goto fail;
    }
    Py_DECREF(path);
    return unless_cut(self, (PyObject *)self);
fail:
    Py_DECREF(path);
    Py_XDECREF(self);
    return NULL;
}

static bool is_open(reader_t *self)
{
    if (self->memory == NULL)
        PyErr_SetString(PyExc_ValueError, "the arena is closed");
    return self->memory != NULL;
}

static uint32_t slots_high(reader_t *self)
{
    uint32_t high = atomic_load(&self->arena.header->slots_high);
    return high < self->arena.n_slots ? high : self->arena.n_slots;
}

static bool append(PyObject *list, PyObject *item)
{
    if (item == NULL)
        return false;
    int failed = PyList_Append(list, item);
    Py_DECREF(item);
    return failed == 0;
}

static PyObject *reader_drain(reader_t *self, PyObject *Py_UNUSED(none))
{
    if (!is_open(self))
        return NULL;
    PyObject *runs = PyList_New(0);
    size_t taken = 0;
    uint32_t high = slots_high(self);
    for (uint32_t n_seen = 0; runs != NULL && n_seen < high && taken < self->room; n_seen++) {
        /* Where the buffer was full the last time, so that no thread is always the last. */
        uint32_t i = self->turn < high ? self->turn : 0;
        self->turn = i + 1;
        gt_slot_t *slot = &self->arena.slots[i];
        if (atomic_load_explicit(&slot->state, memory_order_acquire) != GT_SLOT_ACTIVE)
            continue;
        size_t n = gt_drain(&self->arena, i, self->buffer + taken, self->room - taken);
        taken += n;
        if (n != 0 && !append(runs, Py_BuildValue("(II)", i, (unsigned)n)))
            Py_CLEAR(runs);
    }
    if (runs == NULL)
        return NULL;
    return unless_cut(self, Py_BuildValue("(Ny#)", runs, (char *)self->buffer,
                                          (Py_ssize_t)(taken * sizeof(gt_event_t))));
}

static PyObject *reader_threads(reader_t *self, PyObject *Py_UNUSED(none))
{
    if (!is_open(self))
        return NULL;
    PyObject *news = PyList_New(0);
    for (uint32_t i = 0; news != NULL && i < slots_high(self); i++) {
        gt_slot_t *slot = &self->arena.slots[i];
        seen_t *seen = &self->seen[i];
        uint32_t state = atomic_load_explicit(&slot->state, memory_order_acquire);
        if (state != GT_SLOT_ACTIVE && state != GT_SLOT_RESERVED)
            continue;
        uint32_t generation = atomic_load(&slot->generation);
        uint32_t seq = atomic_load(&slot->name_seq);
        if (seen->generation == generation && seen->name_seq == seq)
            continue;
        char name[GT_NAME_BYTES];
        uint32_t length = 0;
        if (!gt_slot_get_name(slot, name, &length)) {
            if (seen->generation == generation)
                continue; /* being renamed: next time */
            seq = 0;
        }
        *seen = (seen_t){generation, seq};
        if (!append(news, Py_BuildValue("(IIIKy#)", i, generation, atomic_load(&slot->tid),
                                        (unsigned long long)slot->start_ns, name,
                                        (Py_ssize_t)length)))
            Py_CLEAR(news);
    }
    return unless_cut(self, news);
}

/* Of a copy: in the arena characters of two or four bytes lie where they come to lie, and may
 * change between the time when CPython looks how wide they are and the time when it takes them. */
static PyObject *text_bytes(const char *at, uint32_t chars, unsigned kind)
{
    size_t size = (size_t)chars * kind;
    void *copy = PyMem_Malloc(size);
    if (copy == NULL)
        return PyErr_NoMemory();
    memcpy(copy, at, size);
    PyObject *text = PyUnicode_FromKindAndData((int)kind, copy, (Py_ssize_t)chars);
    PyMem_Free(copy);
    PyObject *bytes = text ? PyUnicode_AsEncodedString(text, "utf-8", "surrogatepass") : NULL;
    Py_XDECREF(text);
    return bytes;
}

static bool kind_ok(unsigned kind)
{
    return kind == 1 || kind == 2 || kind == 4;
}

static PyObject *reader_codes(reader_t *self, PyObject *Py_UNUSED(none))
{
    if (!is_open(self))
        return NULL;
    PyObject *news = PyList_New(0);
    uint64_t room = self->arena.codes_bytes;
    while (news != NULL && self->codes_read + sizeof(gt_code_record_t) <= room) {
        char *at = self->arena.codes + self->codes_read;
        uint64_t size = atomic_load_explicit(&((gt_code_record_t *)at)->size, memory_order_acquire);
        gt_code_record_t head; /* checked and used once: the original may change meanwhile */
        memcpy(&head, at, sizeof head);
        uint64_t file = (uint64_t)head.filename_chars * head.filename_kind;
        uint64_t name = (uint64_t)head.qualname_chars * head.qualname_kind;
        if (size == 0 || size % 8 != 0 || self->codes_read + size > room ||
            !kind_ok(head.filename_kind) || !kind_ok(head.qualname_kind) ||
            sizeof head + file + name + head.linetable_bytes > size)
            break;
        at += sizeof head;
        PyObject *filename = text_bytes(at, head.filename_chars, head.filename_kind);
        PyObject *qualname = text_bytes(at + file, head.qualname_chars, head.qualname_kind);
        PyObject *item = NULL;
        if (filename != NULL && qualname != NULL)
            item = Py_BuildValue("(OIIOOy#)", head.is_call ? Py_True : Py_False, head.code,
                                 head.first_line, filename, qualname, at + file + name, (Py_ssize_t)head.linetable_bytes);
        Py_XDECREF(filename);
        Py_XDECREF(qualname);
        if (item == NULL && !PyErr_ExceptionMatches(PyExc_MemoryError))
            PyErr_Clear(); /* not text: scribbled over; leave it out */
        else if (!append(news, item))
            Py_CLEAR(news);
        self->codes_read += size;
    }
    return unless_cut(self, news);
}

static PyObject *reader_gils(reader_t *self, PyObject *Py_UNUSED(none))
{
    if (!is_open(self))
        return NULL;
    PyObject *rows = PyList_New(0);
    for (unsigned i = 0; rows != NULL && i < GT_MAX_GILS; i++) {
        gt_gil_row_t *row = &self->arena.gils[i];
        if (!atomic_load_explicit(&row->used, memory_order_acquire))
            break; /* rows are handed out in order */
        if (!append(rows, Py_BuildValue("(IKILKKKK)", i, (unsigned long long)row->created_ns,
                                        atomic_load(&row->interval_us),
                                        (long long)atomic_load(&row->interpreter),
                                        (unsigned long long)atomic_load(&row->acquires),
                                        (unsigned long long)atomic_load(&row->held_ns),
                                        (unsigned long long)atomic_load(&row->held_since_ns),
                                        (unsigned long long)atomic_load(&row->drop_requests))))
            Py_CLEAR(rows);
    }
    return unless_cut(self, rows);
}

static PyObject *reader_totals(reader_t *self, PyObject *Py_UNUSED(none))
{
    if (!is_open(self))
        return NULL;
    gt_header_t *header = self->arena.header;
    unsigned long long lost = atomic_load(&header->lost_no_slot);
    for (uint32_t i = 0; i < slots_high(self); i++)
        lost += atomic_load(&self->arena.slots[i].lost);
    PyObject *found = Py_BuildValue("{s:K,s:K,s:K,s:K,s:K,s:O}", "lost_events", lost, "codes_lost",
                         (unsigned long long)atomic_load(&header->codes_lost), "gils_unseen",
                         (unsigned long long)atomic_load(&header->gils_unseen), "interpreters_before",
                         (unsigned long long)atomic_load(&header->interpreters_before), "stop_ns",
                         (unsigned long long)atomic_load(&header->stop_ns), "on",
                         atomic_load(&header->on) ? Py_True : Py_False);
    return unless_cut(self, found);
}

static PyObject *reader_free(reader_t *self, PyObject *arg)
{
    unsigned long slot = PyLong_AsUnsignedLong(arg);
    if ((slot == (unsigned long)-1 && PyErr_Occurred()) || !is_open(self))
        return NULL;
    if (slot >= slots_high(self)) {
        PyErr_SetString(PyExc_IndexError, "no such slot");
        return NULL;
    }
    uint64_t lost = atomic_load(&self->arena.slots[slot].lost);
    if (!gt_slot_free(&self->arena, (uint32_t)slot))
        Py_RETURN_NONE;
    return PyLong_FromUnsignedLongLong(lost);
}

static PyObject *reader_switch(reader_t *self, PyObject *arg)
{
    int on = PyObject_IsTrue(arg);
    if (on < 0 || !is_open(self))
        return NULL;
    atomic_store(&self->arena.header->on, (uint32_t)on);
    Py_RETURN_NONE;
}

static PyObject *reader_wish(reader_t *self, PyObject *args)
{
    gt_wish_t wish;
    unsigned long long born;
    if (!PyArg_ParseTuple(args, "IKi", &wish.tid, &born, &wish.level) || !is_open(self))
        return NULL;
    wish.born = born;
    return PyBool_FromLong(gt_wish(&self->arena, &wish));
}

static PyObject *reader_close(reader_t *self, PyObject *Py_UNUSED(none))
{
    release(self);
    Py_RETURN_NONE;
}

static PyObject *reader_info(reader_t *self, void *Py_UNUSED(closure))
{
    if (!is_open(self))
        return NULL;
    gt_header_t *header = self->arena.header;
    return Py_BuildValue("(IKy#)", header->pid, (unsigned long long)header->start_ns, header->info,
                         (Py_ssize_t)(header->info_len % (GT_INFO_BYTES + 1)));
}

static PyObject *reader_capacity(reader_t *self, void *Py_UNUSED(closure))
{
    return PyLong_FromSize_t(capacity(self));
}

static PyObject *reader_batch(reader_t *self, void *Py_UNUSED(closure))
{
    return PyLong_FromSize_t(self->room);
}

static PyObject *reader_policy(reader_t *self, void *Py_UNUSED(closure))
{
    if (!is_open(self))
        return NULL;
    return PyLong_FromUnsignedLong(atomic_load(&self->arena.header->policy));
}

static PyMethodDef methods[] = {
    {"drain", (PyCFunction)reader_drain, METH_NOARGS,
     "drain() -> (runs, events)\n\nTake what the target has written since the last call, "
     "`batch` events at most: [(slot, count), ...] and the events of all runs, 16 bytes each."},
    {"threads", (PyCFunction)reader_threads, METH_NOARGS,
     "threads() -> [(slot, generation, tid, start_ns, name), ...]\n\n"
     "Slots that are new or renamed since the last call; name is bytes."},
    {"codes", (PyCFunction)reader_codes, METH_NOARGS,
     "codes() -> [(is_call, code, first_line, filename, qualname, linetable), ...]\n\n"
     "Code objects, and C functions by their name alone, that are new since the last call; the "
     "texts are UTF-8 bytes."},
    {"gils", (PyCFunction)reader_gils, METH_NOARGS,
     "gils() -> [(index, created_ns, interval_us, interpreter, acquires, held_ns, "
     "held_since_ns, drop_requests), ...]"},
    {"totals", (PyCFunction)reader_totals, METH_NOARGS,
     "totals() -> dict with lost_events (of the slots now in use and of threads that found "
     "none), codes_lost, gils_unseen, interpreters_before, stop_ns, on"},
    {"free", (PyCFunction)reader_free, METH_O,
     "free(slot) -> int | None\n\nGive back the slot of a thread that has ended; returns the "
     "events it lost, or None while some are unread."},
    {"switch", (PyCFunction)reader_switch, METH_O,
     "switch(on)\n\nTurn the target's recording on or off."},
    {"wish", (PyCFunction)reader_wish, METH_VARARGS,
     "wish(native_id, born, level) -> bool\n\nAsk the target to give a thread a priority, when a "
     "thread of its next takes the GIL or waits for it. born: when the thread was started, in clock "
     "ticks since boot. False: earlier wishes have not been heard yet."},
    {"close", (PyCFunction)reader_close, METH_NOARGS, "close()"},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef getset[] = {
    {"capacity", (getter)reader_capacity, NULL, "how many events the arena can hold", NULL},
    {"batch", (getter)reader_batch, NULL, "how many events a drain takes at most", NULL},
    {"policy", (getter)reader_policy, NULL, "number of the policy that the target follows", NULL},
    {"info", (getter)reader_info, NULL, "(pid, start_ns, JSON bytes of the runtime)", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, reader_new},       {Py_tp_dealloc, reader_dealloc}, {Py_tp_methods, methods},
    {Py_tp_getset, getset},        {Py_tp_doc, "ArenaReader(path, owner=geteuid()): the recorder's side of an arena"},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "giltrace._core.ArenaReader",
    .basicsize = sizeof(reader_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

PyObject *gt_reader_type(PyObject *module)
{
    return PyType_FromModuleAndSpec(module, &spec, NULL);
}
