/* The policy against a GIL made of the same calls as CPython's (Python/ceval_gil.c: take_gil() and
 * drop_gil(), and the hooks in between as in hooks.c): nobody is let in beside another, nobody
 * sleeps for ever, whatever levels and policies do meanwhile. */
#define _GNU_SOURCE
#include "policy.h"

#include "check.h"
#include "levels.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

enum { THREADS = 9, INTERVAL_NS = 1000000 };

static struct {
    pthread_mutex_t mutex, switch_mutex;
    pthread_cond_t cond, switch_cond;
    bool locked;
    uint64_t switches;
    _Atomic(const void *) last;
    _Atomic bool requested;
    gt_turns_t turns;
    gt_clock_t clock;
} gil = {.mutex = PTHREAD_MUTEX_INITIALIZER, .switch_mutex = PTHREAD_MUTEX_INITIALIZER};

static _Atomic int enough;
static uint64_t guarded; /* by the GIL alone */
static uint64_t turns_of[THREADS];
static uint32_t tids[THREADS];

static bool has_policy(void)
{
    return atomic_load(&gt_policy_mode) != GT_POLICY_CPYTHON;
}

static int wait_for_it(void)
{
    uint64_t at = gt_now_ns() + INTERVAL_NS;
    struct timespec deadline = {(time_t)(at / 1000000000), (long)(at % 1000000000)};
    bool early;
    if (has_policy())
        return gt_policy_wait(&gil.turns, &gil.clock, &gil.mutex, &deadline, &early);
    return pthread_cond_timedwait(&gil.cond, &gil.mutex, &deadline);
}

static void take(void)
{
    bool early;
    pthread_mutex_lock(&gil.mutex);
    if (gil.turns.handed != NULL && has_policy() && gt_policy_gives_way(&gil.turns, &gil.clock))
        gt_policy_wait(&gil.turns, &gil.clock, &gil.mutex, NULL, &early);
    while (gil.locked) {
        uint64_t switches = gil.switches;
        if (wait_for_it() == ETIMEDOUT && gil.locked && gil.switches == switches)
            gil.requested = true;
    }
    pthread_mutex_lock(&gil.switch_mutex);
    gil.locked = true;
    if (gil.last != &gt_turn) {
        gil.last = &gt_turn;
        gil.switches++;
    }
    if (has_policy())
        gt_policy_acquired(&gil.turns, &gil.clock);
    pthread_cond_signal(&gil.switch_cond);
    pthread_mutex_unlock(&gil.switch_mutex);
    gil.requested = false;
    pthread_mutex_unlock(&gil.mutex);
}

static void drop(bool by_itself)
{
    pthread_mutex_lock(&gil.mutex);
    gil.last = &gt_turn;
    gil.locked = false;
    if (has_policy())
        gt_policy_released(&gil.turns, &gil.clock, by_itself);
    pthread_cond_signal(&gil.cond);
    pthread_mutex_unlock(&gil.mutex);
    if (!gil.requested)
        return;
    pthread_mutex_lock(&gil.switch_mutex);
    if (gil.last == &gt_turn) {
        gil.requested = false;
        pthread_cond_wait(&gil.switch_cond, &gil.switch_mutex);
    }
    pthread_mutex_unlock(&gil.switch_mutex);
}

/* Every third computes until it is asked to let go, every third lets go at once, and every third
 * is away for a while in between. */
static void *work(void *argument)
{
    int me = (int)(intptr_t)argument;
    take();
    tids[me] = gt_policy_tid();
    drop(true);
    while (!enough) {
        take();
        guarded++;
        turns_of[me]++;
        while (me % 3 == 0 && !gil.requested && !enough)
            guarded++;
        drop(me % 3 != 0);
        if (me % 3 == 2)
            usleep(100);
    }
    return NULL;
}

/* What the core does when a program asks for it: with the GIL, and its mutex. */
static void change(uint64_t *luck)
{
    unsigned whom = dice(luck, THREADS), what = dice(luck, 8);
    int level = (int)dice(luck, 5) - 2;
    take();
    pthread_mutex_lock(&gil.mutex);
    if (what == 0)
        gt_policy_begins(&gil.turns, (gt_policy_t)dice(luck, 3));
    else if (tids[whom] != 0 &&
             gt_levels_set(tids[whom], gt_levels_born(tids[whom]), level, true, false) &&
             has_policy())
        gt_policy_level_changed(&gil.turns, tids[whom], level);
    pthread_mutex_unlock(&gil.mutex);
    drop(true);
}

int main(void)
{
    pthread_condattr_t monotonic;
    pthread_t threads[THREADS];
    uint64_t luck = 1, before[THREADS] = {0};
    gt_clock_setup();
    CHECK(gt_policy_setup() && pthread_condattr_init(&monotonic) == 0);
    CHECK(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_cond_init(&gil.cond, &monotonic) == 0);
    CHECK(pthread_cond_init(&gil.switch_cond, &monotonic) == 0);
    for (intptr_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, work, (void *)i) == 0);
    for (int i = 0; i < 400; i++) {
        change(&luck);
        usleep(500);
    }
    /* Nobody is forgotten: under each policy everyone gets on, however long that takes. */
    for (int policy = GT_POLICY_CPYTHON; policy <= GT_POLICY_AUTO; policy++) {
        take();
        pthread_mutex_lock(&gil.mutex);
        gt_policy_begins(&gil.turns, (gt_policy_t)policy);
        pthread_mutex_unlock(&gil.mutex);
        for (int i = 0; i < THREADS; i++)
            before[i] = turns_of[i];
        drop(true);
        for (int i = 0; i < THREADS; i++)
            for (bool on = false; !on;) {
                usleep(500);
                take();
                on = turns_of[i] != before[i];
                drop(true);
            }
    }
    enough = 1;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK(gil.turns.queue.n == 0 && gil.turns.queue.first == NULL && gil.turns.handed == NULL);
    puts("policy: ok");
    return 0;
}
