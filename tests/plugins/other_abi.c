/* other_abi.c - a plugin as the headers of the next version would make it; it calls what is not there any more. */
#include <tare/tare.h>

void tare_gone(void);
void call_it(void);
void call_it(void) { tare_gone(); }

TARE_API extern const tare_plugin tare_plugin_entry;
const tare_plugin tare_plugin_entry = { .abi = TARE_ABI + 1, .real_size = sizeof(tare_real), .name = "other_abi" };
