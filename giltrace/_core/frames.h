/* Where a thread stands: its Python frames as frame words, and the code table. */
#ifndef GT_FRAMES_H
#define GT_FRAMES_H

#include "arena.h"

#include <Python.h>

#define GT_MAX_STACK 64

/* Where a thread stands, to be compared with where it stood. */
typedef struct {
    const void *frame, *instruction;
    bool at_check; /* a pure eval-breaker check */
} gt_position_t;

/* Describe the calling thread's Python stack, innermost first, into words[0..depth).
 * Returns how many were written; *position is where the innermost frame stands. Code objects
 * seen for the first time are written to the arena's code region and kept alive until
 * gt_frames_reset().
 * Context: the thread that is letting go of the GIL, before anyone else can take it (it
 * still holds gil->mutex). Only for the main interpreter; other interpreters give 0.
 * Never allocates. */
size_t gt_frames_describe(const gt_arena_t *arena, gt_frame_word_t *words, size_t depth,
                          gt_position_t *position);

/* The id of a code object in the arena's code table, 0 if there is no room. Context: the main
 * interpreter's GIL held (with or without its mutex). Never allocates. */
uint32_t gt_frames_code(const gt_arena_t *arena, PyCodeObject *code);

/* The id of the interpreter that the calling thread runs, -1 if it cannot be told.
 * Same context. */
int64_t gt_frames_interpreter(void);

/* Forget all code objects. Context: GIL held, no hook recording. */
void gt_frames_reset(void);

/* From now on describe nothing: the interpreter is shutting down. */
void gt_frames_close(void);

#endif
