/* cores.h - the processors this process may use. */
#ifndef TARE_CORES_H
#define TARE_CORES_H

/* How many, or fewer where a container leaves it less time than they have; looked up once. */
int tare__cores(void);
/* The calling thread, which may have inherited less, may use all of them. */
void tare__cores_use_all(void);

/* quota.c: how many processors' worth of time a container leaves this process, a part of one counted as one; 0: no limit, or none that
 * could be read. `root` lies before all paths: "". */
int tare__quota(const char *root);

#endif
