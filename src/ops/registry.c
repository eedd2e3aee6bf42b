/* registry.c - the built-in ops, listed and found by name. */
#include "common.h"

#include <string.h>

static const tare_op *const ops[] = {
#define TARE_OP(name) &tare_op_##name,
#include "ops.def"
#undef TARE_OP
    NULL,
};

enum { COUNT = sizeof ops / sizeof ops[0] - 1 };

const tare_op *tare_op_at(int index) { return index >= 0 && index < (int)COUNT ? ops[index] : NULL; }

const tare_op *tare_op_find(const char *name) {
    for (int i = 0; name && i < (int)COUNT; i++) {
        if (strcmp(ops[i]->name, name) == 0) { return ops[i]; }
    }
    return NULL;
}
