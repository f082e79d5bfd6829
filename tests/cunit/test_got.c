/* Redirecting calls of this very program, while threads are making them. */
#define _GNU_SOURCE
#include "got.h"

#include "check.h"

#include <pthread.h>
#include <unistd.h>

enum { HOOKED = -5 };

static gt_image_t image;
static pid_t hook(void);
static gt_patch_t patch = {.symbol = "getppid", .hook = (void *)hook};
static pid_t (*volatile by_address)(void) = getppid;
static int data = 1;
static const int constant = 1;

static pid_t hook(void)
{
    return ((pid_t (*)(void))patch.real)() == getpid() ? 0 : HOOKED;
}

static void images_are_found_by_what_is_in_them(void)
{
    gt_image_t libc;
    int on_the_stack = 0;
    CHECK(gt_image_find(&image, (void *)images_are_found_by_what_is_in_them));
    CHECK(image.low <= (uintptr_t)&data && (uintptr_t)&data < image.high);
    CHECK(gt_image_find(&libc, (void *)by_address));
    CHECK(libc.low != image.low && libc.name[0] == '/');
    CHECK(!gt_image_find(&libc, &on_the_stack));
    CHECK(gt_is_image_data(&data, sizeof data));
    CHECK(!gt_is_image_data(&constant, sizeof constant));
    CHECK(!gt_is_image_data(&on_the_stack, sizeof on_the_stack));
    CHECK(!gt_is_image_data((void *)hook, 8));
}

static void calls_are_redirected_and_put_back(void)
{
    pid_t parent = getppid();
    gt_patch_t unknown = {.symbol = "no_such_function", .hook = (void *)hook};
    CHECK(!gt_patch_prepare(&unknown, &image) && !gt_patch_in_place(&unknown));
    CHECK(gt_patch_prepare(&patch, &image) && patch.n_slots >= 1);
    CHECK(!gt_patch_in_place(&patch) && getppid() == parent);
    void *real = patch.real, *before = *patch.slots[0];
    for (int round = 0; round < 3; round++) {
        CHECK(gt_patch_apply(&patch, &image) && gt_patch_in_place(&patch));
        CHECK(gt_patch_apply(&patch, &image)); /* once more is no harm, and saves no hook */
        CHECK(getppid() == HOOKED);
        CHECK(gt_patch_prepare(&patch, &image) && patch.real == real);
        CHECK(gt_patch_undo(&patch, &image) && !gt_patch_in_place(&patch));
        CHECK(*patch.slots[0] == before && getppid() == parent && by_address() == parent);
    }
}

static void someone_elses_hook_is_left_in_place(void)
{
    pid_t parent = getppid();
    gt_patch_t theirs = {.symbol = "getppid", .hook = (void *)getpid};
    CHECK(gt_patch_prepare(&patch, &image) && gt_patch_apply(&patch, &image));
    CHECK(gt_patch_prepare(&theirs, &image) && gt_patch_apply(&theirs, &image));
    CHECK(!gt_patch_in_place(&patch) && getppid() == getpid());
    CHECK(gt_patch_undo(&patch, &image) && gt_patch_in_place(&theirs));
    /* They put back what they found, which is ours, and still leads to the real one. */
    CHECK(gt_patch_undo(&theirs, &image) && getppid() == HOOKED);
    CHECK(gt_patch_undo(&patch, &image) && getppid() == parent);
}

static _Atomic int done;

static void *call(void *parent)
{
    while (!done) {
        pid_t seen = getppid();
        CHECK(seen == HOOKED || seen == *(pid_t *)parent);
    }
    return NULL;
}

static void threads_may_be_on_their_way_through(void)
{
    pid_t parent = getppid();
    pthread_t callers[3];
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&callers[i], NULL, call, &parent) == 0);
    for (int i = 0; i < 3000; i++) {
        CHECK(gt_patch_prepare(&patch, &image) && gt_patch_apply(&patch, &image));
        CHECK(getppid() == HOOKED);
        CHECK(gt_patch_undo(&patch, &image));
        CHECK(getppid() == parent);
    }
    done = 1;
    for (int i = 0; i < 3; i++)
        pthread_join(callers[i], NULL);
}

int main(void)
{
    images_are_found_by_what_is_in_them();
    calls_are_redirected_and_put_back();
    someone_elses_hook_is_left_in_place();
    threads_may_be_on_their_way_through();
    puts("got: ok");
    return 0;
}
