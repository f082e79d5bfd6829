/* The queue of waiters: whatever comes and goes, the first is the most urgent and the list is in
 * the order of asking. Built under sanitizers by `make sanitize`. */
#include "queue.h"

#include "check.h"

#define N 64

static uint64_t luck = 1;

static void check(const gt_queue_t *queue, const gt_waiter_t *waiters, const bool *in)
{
    uint32_t n = 0;
    for (int i = 0; i < N; i++) {
        n += in[i];
        CHECK(!in[i] || !gt_more_urgent(&waiters[i], queue->first));
    }
    CHECK(queue->n == n && (n == 0) == (queue->first == NULL));
    CHECK((n == 0) == (queue->oldest == NULL) && (n == 0) == (queue->newest == NULL));
    uint32_t seen = 0;
    const gt_waiter_t *last = NULL;
    for (const gt_waiter_t *at = queue->oldest; at != NULL; last = at, at = at->newer, seen++) {
        CHECK(in[at - waiters] && at->older == last);
        CHECK(last == NULL || last->asked_ns <= at->asked_ns);
    }
    CHECK(seen == n && last == queue->newest);
}

static void random_comings_and_goings(void)
{
    gt_queue_t queue = {0};
    gt_waiter_t waiters[N] = {0};
    bool in[N] = {false};
    for (int round = 0; round < 20000; round++) {
        unsigned i = dice(&luck, N);
        if (dice(&luck, 4) == 0 && queue.first != NULL)
            i = (unsigned)(queue.first - waiters);
        if (in[i]) {
            gt_queue_remove(&queue, &waiters[i]);
        } else {
            waiters[i].level = (int)dice(&luck, 3) - 1;
            waiters[i].account_ns = (int64_t)dice(&luck, 5) - 2;
            waiters[i].asked_ns = (uint64_t)round + 1 - (round < 10 ? 0 : dice(&luck, 10));
            gt_queue_add(&queue, &waiters[i]);
        }
        in[i] = !in[i];
        check(&queue, waiters, in);
    }
}

static void equals_are_served_in_the_order_of_asking(void)
{
    gt_queue_t queue = {0};
    gt_waiter_t waiters[N] = {0};
    for (int i = 0; i < N; i++) {
        waiters[i].asked_ns = (uint64_t)(i * 37 % N);
        gt_queue_add(&queue, &waiters[i]);
    }
    for (uint64_t turn = 0; turn < N; turn++) {
        CHECK(queue.first == queue.oldest && queue.first->asked_ns == turn);
        gt_queue_remove(&queue, queue.first);
    }
    CHECK(queue.first == NULL && queue.newest == NULL);
}

int main(void)
{
    random_comings_and_goings();
    equals_are_served_in_the_order_of_asking();
    return 0;
}
