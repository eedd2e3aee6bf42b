/* quota.c - the share of processor time that a container leaves this process: cgroups' cpu.max (version 2), or cpu.cfs_quota_us over
 * cpu.cfs_period_us (version 1), of its own group and all that this one lies in. Documentation/admin-guide/cgroup-v2 of Linux. */
#include "cores.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { PATH = 4096, MOST = 1 << 20 };

/* The numbers that a file begins with; how many of the two wanted there are. "max" is none. */
static int read_numbers(const char *root, const char *mount, const char *group, const char *name, double number[2]) {
    char path[2 * PATH];
    snprintf(path, sizeof path, "%s%s%s/%s", root, mount, group, name);
    FILE *file = fopen(path, "r");
    if (!file) { return 0; }
    int n = fscanf(file, "%lf %lf", &number[0], &number[1]);
    fclose(file);
    return n < 0 ? 0 : n;
}

/* Processors' worth of time in one group, or infinity. */
static double share_of(const char *root, const char *group, bool unified) {
    double quota[2], period[2];
    if (unified) {
        if (read_numbers(root, "/sys/fs/cgroup", group, "cpu.max", quota) != 2) { return INFINITY; }
        period[0] = quota[1];
    } else if (read_numbers(root, "/sys/fs/cgroup/cpu", group, "cpu.cfs_quota_us", quota) < 1 ||
               read_numbers(root, "/sys/fs/cgroup/cpu", group, "cpu.cfs_period_us", period) < 1) {
        return INFINITY;
    }
    return quota[0] > 0 && period[0] > 0 ? quota[0] / period[0] : INFINITY; /* no limit: a quota of -1 */
}

/* Does a list such as "cpu,cpuacct" name cpu? */
static bool names_cpu(const char *list) {
    for (const char *s = list; s; s = strchr(s, ',')) {
        s += *s == ',';
        if (strncmp(s, "cpu", 3) == 0 && (s[3] == ',' || !s[3])) { return true; }
    }
    return false;
}

/* A line of /proc/self/cgroup, "4:cpu,cpuacct:/group/within" or "0::/group": the least of the group and those above it. A container
 * may see its own group as the root, under the name that it has outside. */
static double share_by(const char *root, char *line) {
    char *list = strchr(line, ':'), *group = list ? strchr(list + 1, ':') : NULL;
    if (!group) { return INFINITY; }
    *group++ = 0;
    group[strcspn(group, "\n")] = 0;
    bool unified = !list[1];
    if (!unified && !names_cpu(list + 1)) { return INFINITY; }
    double least = share_of(root, group, unified);
    for (char *slash; (slash = strrchr(group, '/'));) {
        *slash = 0;
        least = fmin(least, share_of(root, group, unified));
    }
    return least;
}

int tare__quota(const char *root) {
    char path[PATH], line[PATH];
    double least = INFINITY;
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file)) { least = fmin(least, share_by(root, line)); }
    if (file) { fclose(file); }
    return least < MOST ? (int)fmax(ceil(least), 1) : 0;
}
