/* The table of priorities: tenants of an id, what is lent, and readers beside a writer. */
#define _GNU_SOURCE
#include "levels.h"

#include "check.h"

#include <pthread.h>
#include <unistd.h>

static uint64_t born_11(uint32_t tid)
{
    (void)tid;
    return 11;
}

static uint64_t born_22(uint32_t tid)
{
    (void)tid;
    return 22;
}

static void a_level_belongs_to_the_thread_it_was_given_to(void)
{
    int level = 99;
    CHECK(!gt_levels_get(7, born_11, &level) && level == 99);
    CHECK(gt_levels_set(7, 11, -3, false, false));
    CHECK(gt_levels_get(7, born_11, &level) && level == -3);
    CHECK(!gt_levels_get(7, born_22, &level)); /* another thread that has the same id */
    CHECK(gt_levels_set(7, 22, 4, false, false));
    CHECK(!gt_levels_get(7, born_11, &level));
    CHECK(gt_levels_get(7, born_22, &level) && level == 4);
}

static void others_are_told_that_there_is_news(void)
{
    uint32_t before = atomic_load(&gt_levels_changes);
    gt_levels_set(8, 11, 1, false, false);
    CHECK(atomic_load(&gt_levels_changes) == before);
    gt_levels_set(8, 11, 2, true, false);
    CHECK(atomic_load(&gt_levels_changes) == before + 1);
    atomic_store(&gt_levels_changes, UINT32_MAX);
    gt_levels_set(8, 11, 3, true, false);
    CHECK(atomic_load(&gt_levels_changes) == 1); /* never 0, which is: has never looked */
}

static int returned[3], n_returned;

static void on_return(uint32_t tid, int level)
{
    CHECK(tid >= 20 && tid < 23);
    returned[tid - 20] = level;
    n_returned++;
}

static void what_is_lent_goes_back(void)
{
    int level;
    gt_levels_set(20, 11, 3, false, false);
    gt_levels_set(20, 11, 5, false, true);
    gt_levels_set(20, 11, 6, false, true); /* on top of a loan: what it had itself is kept */
    gt_levels_set(21, 11, 1, false, true); /* it had none */
    gt_levels_set(22, 11, 9, false, false);
    gt_levels_set(22, 22, 7, false, true); /* the one before it was another thread */
    gt_levels_return(on_return);
    CHECK(n_returned == 3 && returned[0] == 3 && returned[1] == 0 && returned[2] == 0);
    CHECK(gt_levels_get(20, born_11, &level) && level == 3);
    gt_levels_return(on_return);
    CHECK(n_returned == 3);
}

/* More than twice as many threads as there is room for have come and gone. */
static void places_of_threads_that_have_ended_are_used_again(void)
{
    int level;
    for (uint32_t tid = 1u << 24; tid < (1u << 24) + 20000; tid++) {
        CHECK(gt_levels_set(tid, 11, (int)(tid % 7), false, false));
        CHECK(gt_levels_get(tid, born_11, &level) && level == (int)(tid % 7));
    }
}

static void birth_is_read_from_the_kernel(void)
{
    uint64_t mine = gt_levels_born((uint32_t)gettid());
    CHECK(mine != 0 && mine == gt_levels_born((uint32_t)gettid()));
    CHECK(gt_levels_born(0) == 0 && gt_levels_born(UINT32_MAX) == 0);
    pthread_setname_np(pthread_self(), ") 1 2 3 (");
    CHECK(gt_levels_born((uint32_t)gettid()) == mine);
}

static void a_child_keeps_its_own_level_alone(void)
{
    int level;
    gt_levels_set(20, 11, 3, false, false);
    gt_levels_forked((uint32_t)gettid(), -2);
    CHECK(!gt_levels_get(20, born_11, &level));
    CHECK(gt_levels_get((uint32_t)gettid(), gt_levels_born, &level) && level == -2);
}

/* One id has two tenants by turns, each with a level of its own: nobody sees one with the level of
 * the other. */
static _Atomic int done;

static void *look(void *unused)
{
    int level;
    while (!done) {
        if (gt_levels_get(30, born_11, &level))
            CHECK(level == 1);
        if (gt_levels_get(30, born_22, &level))
            CHECK(level == 2);
    }
    return unused;
}

static void readers_never_see_half_an_entry(void)
{
    pthread_t readers[2];
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&readers[i], NULL, look, NULL) == 0);
    for (int i = 0; i < 200000; i++)
        gt_levels_set(30, i % 2 ? 11 : 22, i % 2 ? 1 : 2, true, false);
    done = 1;
    for (int i = 0; i < 2; i++)
        pthread_join(readers[i], NULL);
}

int main(void)
{
    a_level_belongs_to_the_thread_it_was_given_to();
    others_are_told_that_there_is_news();
    what_is_lent_goes_back();
    places_of_threads_that_have_ended_are_used_again();
    birth_is_read_from_the_kernel();
    readers_never_see_half_an_entry();
    a_child_keeps_its_own_level_alone();
    puts("levels: ok");
    return 0;
}
