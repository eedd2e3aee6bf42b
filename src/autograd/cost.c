/* cost.c - how much work a node is: for profiles, and to see how far an op is from what the machine can do. */
#include "tape_impl.h"

static bool reads(const tare_node *n, int i) {
    unsigned r = n->op->reads;
    return r == 0 || (!(r & TARE_READS_NOTHING) && (i >= 30 || (r & TARE_READS_IN(i))));
}

static bool seen_before(const tare_node *n, int i) {
    for (int k = 0; k < i; k++) {
        if (n->in[k] == n->in[i]) { return true; }
    }
    return false;
}

static double bytes_of(const tare_tensor *x) { return (double)tare__bytes(x->numel); }

static tare_cost forward_cost(const tare_node *n) {
    tare_cost c = { .flops = 2 * n->macs, .bytes = bytes_of(n->out) };
    if (n->grad) { c.bytes += (double)n->saved_bytes; }
    for (int i = 0; i < n->n_in; i++) {
        if (n->in[i] && !seen_before(n, i)) { c.bytes += bytes_of(n->in[i]); }
    }
    return c;
}

/* The two factors of a product (inputs 0 and 1) each cost as much as the product itself. */
static tare_cost backward_cost(const tare_node *n) {
    tare_cost c = { .flops = 2 * n->grad_macs, .bytes = bytes_of(n->out) + (double)n->saved_bytes };
    if (n->op->reads == 0 || (n->op->reads & (TARE_READS_OUT | TARE_READS_NOTHING)) == TARE_READS_OUT) {
        c.bytes += bytes_of(n->out);
    }
    for (int i = 0; i < n->n_in; i++) {
        if (!n->in[i] || seen_before(n, i)) { continue; }
        if (reads(n, i)) { c.bytes += bytes_of(n->in[i]); }
        if (!n->in[i]->requires_grad) { continue; }
        c.bytes += bytes_of(n->in[i]);
        if (n->grad_macs <= 0 && i < 2) { c.flops += 2 * n->macs; }
    }
    return c;
}

tare_cost tare_node_cost(const tare_node *n, bool backward) {
    if (n->op->flags & TARE_OP_ALIAS || (backward && !n->grad)) { return (tare_cost){ 0 }; }
    return backward ? backward_cost(n) : forward_cost(n);
}
