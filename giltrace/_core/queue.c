#include "queue.h"

#include <stddef.h>

bool gt_more_urgent(const gt_waiter_t *a, const gt_waiter_t *b)
{
    if (a->level != b->level)
        return a->level > b->level;
    if (a->account_ns != b->account_ns)
        return a->account_ns < b->account_ns;
    return a->asked_ns < b->asked_ns;
}

static gt_waiter_t *meld(gt_waiter_t *a, gt_waiter_t *b)
{
    if (a == NULL)
        return b;
    if (b == NULL)
        return a;
    if (gt_more_urgent(b, a)) {
        gt_waiter_t *swap = a;
        a = b;
        b = swap;
    }
    b->prev = a;
    b->next = a->child;
    if (a->child != NULL)
        a->child->prev = b;
    a->child = b;
    return a;
}

/* Make one heap of a list of siblings: meld them by pairs, then the pairs from the last on. */
static gt_waiter_t *meld_siblings(gt_waiter_t *at)
{
    gt_waiter_t *pairs = NULL, *heap = NULL;
    while (at != NULL) {
        gt_waiter_t *a = at, *b = at->next;
        at = b != NULL ? b->next : NULL;
        a->next = a->prev = NULL;
        if (b != NULL)
            b->next = b->prev = NULL;
        a = meld(a, b);
        a->next = pairs;
        pairs = a;
    }
    while (pairs != NULL) {
        gt_waiter_t *next = pairs->next;
        pairs->next = NULL;
        heap = meld(heap, pairs);
        pairs = next;
    }
    return heap;
}

void gt_queue_add(gt_queue_t *queue, gt_waiter_t *waiter)
{
    waiter->child = waiter->next = waiter->prev = NULL;
    queue->first = meld(queue->first, waiter);
    /* Who comes back after a drop request began to wait earlier than the last in line. */
    gt_waiter_t *older = queue->newest;
    while (older != NULL && older->asked_ns > waiter->asked_ns)
        older = older->older;
    waiter->older = older;
    waiter->newer = older != NULL ? older->newer : queue->oldest;
    *(older != NULL ? &older->newer : &queue->oldest) = waiter;
    *(waiter->newer != NULL ? &waiter->newer->older : &queue->newest) = waiter;
    queue->n++;
}

void gt_queue_remove(gt_queue_t *queue, gt_waiter_t *waiter)
{
    gt_waiter_t *children = meld_siblings(waiter->child);
    if (waiter == queue->first) {
        queue->first = children;
    } else {
        *(waiter->prev->child == waiter ? &waiter->prev->child : &waiter->prev->next) = waiter->next;
        if (waiter->next != NULL)
            waiter->next->prev = waiter->prev;
        queue->first = meld(queue->first, children);
    }
    *(waiter->older != NULL ? &waiter->older->newer : &queue->oldest) = waiter->newer;
    *(waiter->newer != NULL ? &waiter->newer->older : &queue->newest) = waiter->older;
    queue->n--;
}
