/* How a part of the core says what is wrong: a sentence for the user. */
#ifndef GT_ERROR_H
#define GT_ERROR_H

#include <stdbool.h>
#include <stdio.h>

typedef struct {
    char message[512];
} gt_error_t;

static inline bool gt_fail(gt_error_t *error, const char *message)
{
    snprintf(error->message, sizeof error->message, "%s", message);
    return false;
}

#endif
