#include "compat.h"

#include "frames.h"

#include <string.h>

#define MAX_NAME_CHARS 1024
#define MAX_PATH_CHARS 4096
#define MAX_LINETABLE_BYTES (128 * 1024)

/* Open addressing, keyed by the code object's address. A strong reference keeps the address
 * from being used again for another code object; 65535 ids bound the table. */
#define TABLE_BITS 17
#define TABLE_SIZE (1u << TABLE_BITS)
#define MAX_CODES 0xFFFFu

typedef struct {
    PyCodeObject *code;
    uint32_t id; /* 0: there was no room for its record */
} entry_t;

static entry_t table[TABLE_SIZE];
static uint32_t table_used;
static bool closed;

static size_t chars_bytes(PyObject *text, size_t limit, uint32_t *chars, uint8_t *kind)
{
    *chars = 0;
    *kind = 1;
    if (text == NULL || !PyUnicode_Check(text))
        return 0;
    size_t n = (size_t)PyUnicode_GET_LENGTH(text);
    *chars = (uint32_t)(n < limit ? n : limit);
    *kind = (uint8_t)PyUnicode_KIND(text);
    return (size_t)*chars * *kind;
}

/* Copy what names a code object's places into the arena. Plain copies: no allocation. */
static bool write_record(const gt_arena_t *arena, PyCodeObject *code, uint32_t id)
{
    gt_code_record_t head = {.code = id, .first_line = (uint32_t)code->co_firstlineno};
    size_t file = chars_bytes(code->co_filename, MAX_PATH_CHARS, &head.filename_chars,
                              &head.filename_kind);
    size_t name = chars_bytes(code->co_qualname, MAX_NAME_CHARS, &head.qualname_chars,
                              &head.qualname_kind);
    size_t lines = 0;
    if (code->co_linetable != NULL && PyBytes_Check(code->co_linetable))
        lines = (size_t)PyBytes_GET_SIZE(code->co_linetable);
    if (lines > MAX_LINETABLE_BYTES)
        lines = 0;
    head.linetable_bytes = (uint32_t)lines;
    uint32_t size = (uint32_t)((sizeof head + file + name + lines + 7) & ~(size_t)7);
    gt_code_record_t *record = gt_code_claim(arena, size);
    if (record == NULL)
        return false;
    char *at = gt_code_head(record, &head);
    if (file)
        memcpy(at, PyUnicode_DATA(code->co_filename), file);
    if (name)
        memcpy(at + file, PyUnicode_DATA(code->co_qualname), name);
    if (lines)
        memcpy(at + file + name, PyBytes_AS_STRING(code->co_linetable), lines);
    atomic_store_explicit(&record->size, size, memory_order_release);
    return true;
}

static uint32_t intern(const gt_arena_t *arena, PyCodeObject *code, entry_t *entry)
{
    gt_header_t *header = arena->header;
    if (table_used >= TABLE_SIZE / 2)
        return 0;
    uint32_t id = atomic_load_explicit(&header->codes, memory_order_relaxed) + 1;
    if (id > MAX_CODES || !write_record(arena, code, id)) {
        atomic_fetch_add_explicit(&header->codes_lost, 1, memory_order_relaxed);
        id = 0;
    } else {
        atomic_store_explicit(&header->codes, id, memory_order_relaxed);
    }
    Py_INCREF(code);
    *entry = (entry_t){code, id};
    table_used++;
    return id;
}

uint32_t gt_frames_code(const gt_arena_t *arena, PyCodeObject *code)
{
    /* Fibonacci hashing; the low bits of an address are alignment. */
    uint64_t hash = ((uint64_t)(uintptr_t)code >> 4) * UINT64_C(0x9E3779B97F4A7C15);
    for (uint32_t i = (uint32_t)(hash >> (64 - TABLE_BITS));; i = (i + 1) & (TABLE_SIZE - 1)) {
        if (table[i].code == code)
            return table[i].id;
        if (table[i].code == NULL)
            return intern(arena, code, &table[i]);
    }
}

size_t gt_frames_describe(const gt_arena_t *arena, gt_frame_word_t *words, size_t depth,
                          gt_position_t *position)
{
    *position = (gt_position_t){0};
    if (closed)
        return 0;
    /* This thread's own state: NULL once the thread is being deleted, so a state that is
     * about to be freed is never followed (Python/pystate.c: tstate_delete_common). */
    PyThreadState *tstate = PyGILState_GetThisThreadState();
    if (tstate == NULL || tstate->interp != PyInterpreterState_Main())
        return 0;
    size_t n = 0;
    for (gt_frame_t *frame = gt_top_frame(tstate); frame != NULL && n < depth;
         frame = frame->previous) {
        PyCodeObject *code = gt_frame_code(frame);
        if (code == NULL)
            continue;
        _Py_CODEUNIT *instruction = gt_frame_instruction(frame);
        ptrdiff_t lasti = instruction - gt_frame_bytecode(frame, code);
        bool inside = lasti >= 0 && lasti < Py_SIZE(code);
        if (n == 0)
            *position = (gt_position_t){frame, instruction,
                                        inside && gt_is_check_point(instruction)};
        words[n++] = gt_frame_word(gt_frames_code(arena, code),
                                   inside ? (unsigned)lasti : GT_LASTI_UNKNOWN);
    }
    return n;
}

int64_t gt_frames_interpreter(void)
{
    PyThreadState *tstate = closed ? NULL : PyGILState_GetThisThreadState();
    return tstate == NULL ? -1 : PyInterpreterState_GetID(tstate->interp);
}

void gt_frames_reset(void)
{
    closed = false;
    if (table_used == 0)
        return;
    for (uint32_t i = 0; i < TABLE_SIZE; i++) {
        PyCodeObject *code = table[i].code;
        table[i] = (entry_t){0};
        Py_XDECREF(code);
    }
    table_used = 0;
}

void gt_frames_close(void)
{
    closed = true;
}
