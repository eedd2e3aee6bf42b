/* cores.c - which processors this process may use: taskset, cpusets and a container's share of time count; that an OpenMP runtime has
 * bound a thread to one of them does not. */
#ifdef __linux__
#define _GNU_SOURCE /* the sets of processors of sched.h */
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

#include "cores.h"

#include <string.h>

#ifdef __linux__

static cpu_set_t usable;
static int count; /* of them; 0 if there are more than a set holds */
static int share; /* a container's, 0 where there is none */
static pthread_once_t looked = PTHREAD_ONCE_INIT;

/* OpenBLAS brings an OpenMP runtime, and with OMP_PROC_BIND that binds the first thread, before anything of ours has run. It knows
 * what the process had before. */
static void add_places(void) {
    void *symbol[3] = { dlsym(RTLD_DEFAULT, "omp_get_num_places"), dlsym(RTLD_DEFAULT, "omp_get_place_num_procs"),
                        dlsym(RTLD_DEFAULT, "omp_get_place_proc_ids") };
    int (*places)(void), (*processors)(int);
    void (*ids_of)(int, int *);
    if (!symbol[0] || !symbol[1] || !symbol[2]) { return; }
    memcpy(&places, &symbol[0], sizeof places);
    memcpy(&processors, &symbol[1], sizeof processors);
    memcpy(&ids_of, &symbol[2], sizeof ids_of);
    for (int p = 0; p < places(); p++) {
        int ids[CPU_SETSIZE], n = processors(p);
        if (n < 1 || n > CPU_SETSIZE) { continue; }
        ids_of(p, ids);
        for (int i = 0; i < n; i++) {
            if (ids[i] >= 0 && ids[i] < CPU_SETSIZE) { CPU_SET((size_t)ids[i], &usable); }
        }
    }
}

static void look(void) {
    share = tare__quota("");
    if (sched_getaffinity(0, sizeof usable, &usable) != 0) { return; }
    if (getenv("OMP_PROC_BIND")) { add_places(); }
    count = CPU_COUNT(&usable);
}

#endif

int tare__cores(void) {
    long n = 1;
#if defined(__unix__) || defined(__APPLE__)
    n = sysconf(_SC_NPROCESSORS_ONLN);
#endif
#ifdef __linux__
    pthread_once(&looked, look);
    if (count > 0) { n = count; }
    if (share > 0 && share < n) { n = share; }
#endif
    return n < 1 ? 1 : (int)n;
}

void tare__cores_use_all(void) {
#ifdef __linux__
    pthread_once(&looked, look);
    if (count > 0) { sched_setaffinity(0, sizeof usable, &usable); } /* if refused, it runs where it may */
#endif
}
