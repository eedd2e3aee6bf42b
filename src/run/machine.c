/* machine.c - processor, threads and libraries, as config.json and `tare info` tell them. */
#define _GNU_SOURCE /* sched_getaffinity: the cores this process may use, as containers set them */
#include <tare/run.h>

#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#endif

#include "../core/machine.h"

static void read_cpu(char *text, size_t size) {
    snprintf(text, size, "unknown");
    FILE *file = fopen("/proc/cpuinfo", "r");
    if (!file) { return; }
    char line[256];
    while (fgets(line, sizeof line, file)) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon) { continue; }
        line[strcspn(line, "\n")] = '\0';
        snprintf(text, size, "%s", colon + 1 + strspn(colon + 1, " "));
        break;
    }
    fclose(file);
}

static int usable_cores(void) {
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) { return CPU_COUNT(&set); }
#endif
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

void tare_machine_get(tare_machine *machine) {
    *machine = (tare_machine){ .cores = usable_cores(), .threads = tare_threads(), .isa = tare__isa_level() };
    read_cpu(machine->cpu, sizeof machine->cpu);
    snprintf(machine->blas, sizeof machine->blas, "%s", tare__blas_config());
    for (size_t n = strlen(machine->blas); n > 0 && machine->blas[n - 1] == ' '; n--) { machine->blas[n - 1] = '\0'; }
#ifdef _SC_PHYS_PAGES
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    if (pages > 0 && page > 0) { machine->memory = (int64_t)pages * page; }
#endif
}

/* The "high water mark" of resident memory, in kilobytes. getrusage has one too, but a process begins with its parent's. */
static int64_t read_high_water(void) {
    FILE *file = fopen("/proc/self/status", "r");
    long long kilobytes = 0;
    char line[256];
    while (file && kilobytes == 0 && fgets(line, sizeof line, file)) {
        if (sscanf(line, "VmHWM: %lld", &kilobytes) != 1) { kilobytes = 0; }
    }
    if (file) { fclose(file); }
    return kilobytes;
}

int64_t tare_peak_memory(void) {
    int64_t kilobytes = read_high_water();
    if (kilobytes > 0) { return kilobytes * 1024; }
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0) { return 0; }
#ifdef __APPLE__
    return usage.ru_maxrss; /* bytes there, kilobytes elsewhere */
#else
    return (int64_t)usage.ru_maxrss * 1024;
#endif
}
