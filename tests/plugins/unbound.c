/* unbound.c - a plugin that calls a function nobody has. */
#include <tare/tare.h>

void tare_gone(void);
void call_it(void);
void call_it(void) { tare_gone(); }

TARE_PLUGIN(.name = "unbound");
