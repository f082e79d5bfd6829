/* Redirecting an image's calls to libc functions through its global offset table. */
#ifndef GT_GOT_H
#define GT_GOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GT_GOT_MAX_SLOTS 4 /* a function has a PLT slot, and one where its address is taken */

typedef struct {
    const char *symbol;
    void *hook;
    _Atomic(void *) real; /* what a call reached before: the resolved function */
    size_t n_slots;
    void **slots[GT_GOT_MAX_SLOTS];
    void *saved[GT_GOT_MAX_SLOTS];
} gt_patch_t;

typedef struct {
    uintptr_t base, low, high; /* load bias and address range */
    uintptr_t relro_low, relro_high;
    const void *dynamic;
    char name[256];
} gt_image_t;

/* Find the loaded image whose segments contain `address`. */
bool gt_image_find(gt_image_t *image, const void *address);

/* Whether the bytes lie in a loaded image, in data that is writable as it stands. */
bool gt_is_image_data(const void *address, size_t bytes);

/* Find the slots of `patch->symbol` in the image and what they call.
 * False if the image does not import it. Changes nothing. */
bool gt_patch_prepare(gt_patch_t *patch, const gt_image_t *image);

/* Write the hook into the slots. False (nothing changed) if memory protection forbids it. */
bool gt_patch_apply(gt_patch_t *patch, const gt_image_t *image);

/* Put the slots back as found. Safe while threads are inside the hook. */
bool gt_patch_undo(gt_patch_t *patch, const gt_image_t *image);

/* Whether every slot holds the hook. */
bool gt_patch_in_place(const gt_patch_t *patch);

#endif
