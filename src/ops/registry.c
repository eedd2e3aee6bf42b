/* registry.c - the built-in ops and those of open plugins, listed and found by name. */
#include "common.h"

#include <string.h>
#include <tare/plugin.h>

static const tare_op *const ops[] = {
#define TARE_OP(name) &tare_op_##name,
#include "ops.def"
#undef TARE_OP
    NULL,
};

enum { COUNT = sizeof ops / sizeof ops[0] - 1 };

/* The index-th op among those of all open plugins. */
static const tare_op *plugin_op(int index) {
    const tare_plugin *p;
    for (int i = 0; (p = tare_plugin_at(i)); i++) {
        for (int k = 0; p->ops && p->ops[k]; k++) {
            if (index-- == 0) { return p->ops[k]; }
        }
    }
    return NULL;
}

const tare_op *tare_op_at(int index) {
    if (index < 0) { return NULL; }
    return index < (int)COUNT ? ops[index] : plugin_op(index - (int)COUNT);
}

const tare_op *tare_op_find(const char *name) {
    const tare_op *op;
    for (int i = 0; name && (op = tare_op_at(i)); i++) {
        if (strcmp(op->name, name) == 0) { return op; }
    }
    return NULL;
}
