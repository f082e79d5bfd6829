#define _GNU_SOURCE
#include "guard.h"

#include <signal.h>
#include <sys/mman.h>

#define AREAS 4096

typedef struct {
    char *at; /* NULL: free */
    size_t bytes;
    volatile sig_atomic_t cut;
} area_t;

static area_t areas[AREAS];
static int used; /* no area at or after this one */
static struct sigaction before;

/* In the thread that has touched the memory, which holds the GIL: nobody changes the table. */
static void on_bus(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    char *address = info->si_addr;
    for (int i = 0; i < used; i++) {
        area_t *area = &areas[i];
        if (area->at == NULL || address < area->at || address >= area->at + area->bytes)
            continue;
        if (mmap(area->at, area->bytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == MAP_FAILED)
            break;
        area->cut = 1;
        return; /* the access is made again */
    }
    sigaction(SIGBUS, &before, NULL); /* not ours: it happens again, and is dealt with as ever */
}

int gt_guard(void *at, size_t bytes)
{
    static bool installed;
    int i = 0;
    while (i < AREAS && areas[i].at != NULL)
        i++;
    if (i == AREAS)
        return -1;
    if (!installed) {
        struct sigaction action = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO | SA_ONSTACK};
        sigemptyset(&action.sa_mask);
        installed = sigaction(SIGBUS, &action, &before) == 0;
    }
    areas[i] = (area_t){at, bytes, 0};
    used = i < used ? used : i + 1;
    return i;
}

bool gt_guard_cut(int number)
{
    return number >= 0 && number < AREAS && areas[number].cut;
}

void gt_unguard(int number)
{
    if (number >= 0 && number < AREAS)
        areas[number] = (area_t){0};
}
