/* Finding the GIL of an interpreter nobody compiled for us: let it go and take it back once,
 * and see which objects libc is called with. */
#ifndef GT_CALIBRATION_H
#define GT_CALIBRATION_H

#include "error.h"
#include "got.h"

#include <pthread.h>

/* The words of the stack above the current function's own frame: its caller's. */
#define GT_CALLER_FRAME ((const void *const *)__builtin_dwarf_cfa())

typedef struct {
    pthread_mutex_t *mutex; /* the main interpreter's gil->mutex */
    ptrdiff_t switch_mutex_offset, cond_offset, switch_cond_offset; /* from gil->mutex, bytes */
    const void *save_return; /* an address in PyEval_SaveThread(); NULL: not known */
    unsigned save_depth;     /* where it lies, in words from drop_gil()'s frame */
    unsigned attempts;
} gt_calibration_t;

/* Context: GIL held; it is let go and taken back. Redirects calls for that long only. */
bool gt_calibrate(const gt_image_t *image, gt_calibration_t *found, gt_error_t *error);

/* In a forked child: another thread may have been calibrating. */
void gt_calibration_forked(const gt_image_t *image);

#endif
