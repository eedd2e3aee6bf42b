/* cores.h - the processors this process may use. */
#ifndef TARE_CORES_H
#define TARE_CORES_H

/* How many; looked up once. */
int tare__cores(void);
/* The calling thread, which may have inherited less, may use all of them. */
void tare__cores_use_all(void);

#endif
