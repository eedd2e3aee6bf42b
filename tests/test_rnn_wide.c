/* test_rnn_wide.c - recurrent nets whose state is so wide that the threads share out its features and meet at every step, and nets
 * that read rows of an embedding.   tare-test: double isa */
#include "testing_support.h"

#include <tare/sequence.h>

static const char *const names[] = { "tanh", "relu", "gru", "lstm" };
static int64_t gates_of(tare_rnn_kind kind) { return kind == TARE_LSTM ? 4 : kind == TARE_GRU ? 3 : 1; }

static void fill(tare_real *x, int64_t n, const char *name, double scale) {
    tare_rng rng = tare_rng_new(21, name);
    for (int64_t i = 0; i < n; i++) { x[i] = (tare_real)(scale * tare_rng_normal(&rng)); }
}

/* ---- a net within a wider one ---------------------------------------------------------------------------------------- */

enum { T = 6, B = 9, IN = 7, FEW = 5 };

typedef struct net {
    tare_params *ps;
    tare_tape *tape;
    tare_layer *layer;
    tare_rnn_state *state;
    tare_tensor *x, *y;
    int64_t width, apart; /* feature i of the few is i * apart of all */
} net;

static tare_real *values(net *n, int param, bool grad) {
    tare_tensor *w = tare_params_at(n->ps, param);
    return grad ? w->grad : w->data;
}

/* Row or column `unit` of gate g. */
static int64_t at(const net *n, int64_t g, int64_t unit) { return g * n->width + unit * n->apart; }

static net make(tare_rnn_kind kind, int64_t width, int64_t apart, const tare_sequence *sequence) {
    net n = { .ps = tare_params_new(3), .width = width, .apart = apart };
    n.tape = tare_tape_new((tare_tape_opt){ .training = true, .guard = true });
    n.layer = tare_layer_rnn(n.ps, "r", kind, IN, width, (tare_layer_rnn_opt){ .sequence = sequence });
    n.state = tare_rnn_state_new(n.layer, B);
    assert_non_null(n.state);
    assert_ok(tare_layer_rnn_carry(n.layer, n.state));
    return n;
}

/* The wide one: all 0 but for the numbers of the narrow one. */
static void copy_weights(net *to, net *from, int64_t gates) {
    for (int i = 0; i < 4; i++) {
        tare_tensor *w = tare_params_at(to->ps, i);
        memset(w->data, 0, (size_t)w->numel * sizeof *w->data);
    }
    for (int64_t g = 0; g < gates; g++) {
        for (int64_t u = 0; u < FEW; u++) {
            int64_t a = at(to, g, u), b = at(from, g, u);
            for (int64_t c = 0; c < IN; c++) { values(to, 0, 0)[a * IN + c] = values(from, 0, 0)[b * IN + c]; }
            for (int64_t c = 0; c < FEW; c++) {
                values(to, 1, 0)[a * to->width + c * to->apart] = values(from, 1, 0)[b * FEW + c];
            }
            values(to, 2, 0)[a] = values(from, 2, 0)[b];
            values(to, 3, 0)[a] = values(from, 3, 0)[b];
        }
    }
}

/* The carried state starts from the same numbers, so that h0 and c0 take part. */
static void start_state(net *n, bool lstm) {
    int64_t count;
    tare_real *data = tare_rnn_state_data(n->state, &count), first[2 * B * FEW];
    fill(first, 2 * B * FEW, "state", 0.5);
    for (int64_t i = 0; i < (lstm ? 2 : 1) * B * FEW; i++) { data[i / FEW * n->width + i % FEW * n->apart] = first[i]; }
}

/* The loss looks at the few features alone. */
static void run(net *n, bool lstm) {
    start_state(n, lstm);
    tare_params_zero_grad(n->ps);
    n->x = tare_input(n->tape, TARE_SHAPE(T, B, IN), NULL);
    fill(n->x->data, n->x->numel, "x", 1);
    n->x->requires_grad = true;
    n->y = tare_forward(n->layer, n->tape, n->x);
    if (!n->y) { fail_msg("%s", tare_tape_error(n->tape)); }
    tare_tensor *weight = tare_input(n->tape, n->y->shape, NULL);
    tare_real few[T * B * FEW];
    fill(few, T * B * FEW, "dy", 1);
    memset(weight->data, 0, (size_t)weight->numel * sizeof(tare_real));
    for (int64_t i = 0; i < T * B * FEW; i++) { weight->data[i / FEW * n->width + i % FEW * n->apart] = few[i]; }
    for (int64_t i = 0; i < T * B * FEW; i++) { few[i] = n->y->data[i / FEW * n->width + i % FEW * n->apart]; }
    tare_tensor *kept = tare_input(n->tape, TARE_SHAPE(T, B, FEW), few);
    assert_ok(tare_backward(n->tape, tare_sum(n->tape, tare_mul(n->tape, n->y, weight), 0, false)));
    assert_ok(tare_tape_guard(n->tape));
    n->y = kept;
}

static void compare(net *wide, net *few, int64_t gates) {
    double tol = test_tol(1e-4, 1e-12);
    for (int64_t i = 0; i < few->y->numel; i++) { assert_near(wide->y->data[i], few->y->data[i], tol); }
    for (int64_t i = 0; i < few->x->numel; i++) { assert_near(wide->x->grad[i], few->x->grad[i], tol); }
    for (int64_t i = 0; i < gates * FEW; i++) {
        int64_t a = at(wide, i / FEW, i % FEW), b = i;
        for (int64_t c = 0; c < IN; c++) {
            assert_near(values(wide, 0, 1)[a * IN + c], values(few, 0, 1)[b * IN + c], tol);
        }
        for (int64_t c = 0; c < FEW; c++) {
            assert_near(values(wide, 1, 1)[a * wide->width + c * wide->apart], values(few, 1, 1)[b * FEW + c], tol);
        }
        assert_near(values(wide, 2, 1)[a], values(few, 2, 1)[b], tol);
        assert_near(values(wide, 3, 1)[a], values(few, 3, 1)[b], tol);
    }
}

static void clear(net *n) {
    tare_rnn_state_free(n->state);
    tare_tape_free(n->tape);
    tare_params_free(n->ps);
}

/* Features that nothing reaches stay 0 and change nothing: so the few among the many are what they are alone. */
static void within_a_wider_one_it_is_the_same(void **state) {
    (void)state;
    static const int32_t lengths[B] = { 6, 1, 3, 6, 2, 5, 4, 6, 1 };
    for (int kind = TARE_RNN_TANH; kind <= TARE_LSTM; kind++) {
        for (int round = 0; round < 3; round++) {
            tare_sequence sequence = { .lengths = round == 2 ? lengths : NULL };
            int64_t width = round ? 375 : 384, gates = gates_of((tare_rnn_kind)kind);
            net few = make((tare_rnn_kind)kind, FEW, 1, &sequence);
            net wide = make((tare_rnn_kind)kind, width, width / FEW, &sequence);
            copy_weights(&wide, &few, gates);
            run(&few, kind == TARE_LSTM);
            run(&wide, kind == TARE_LSTM);
            compare(&wide, &few, gates);
            clear(&few);
            clear(&wide);
        }
    }
}

static void threads_change_nothing(void **state) {
    (void)state;
    static const int threads[] = { 1, 2, 3, 8 };
    for (int kind = TARE_RNN_TANH; kind <= TARE_LSTM; kind++) {
        tare_real *first = NULL;
        for (int i = 0; i < 4; i++) {
            tare_threads_set(threads[i]);
            net n = make((tare_rnn_kind)kind, 384, 384 / FEW, NULL);
            run(&n, kind == TARE_LSTM);
            size_t bytes = (size_t)tare_params_flat_size(n.ps) * sizeof *first;
            if (!first) { first = memcpy(tare_malloc(bytes), tare_params_flat_grad(n.ps), bytes); }
            if (memcmp(first, tare_params_flat_grad(n.ps), bytes) != 0) {
                fail_msg("%s: %d threads give other bits than one", names[kind], threads[i]);
            }
            clear(&n);
        }
        tare_free(first);
    }
    tare_threads_set(0);
}

/* ---- rows of an embedding -------------------------------------------------------------------------------------------- */

enum { ROWS = 6, WIDTH = 10 };

/* All gradients after one pass, x by its table or as rows that hide where they came from. */
static tare_real *gradients(tare_rnn_kind kind, const tare_sequence *sequence, bool batch_first, bool hidden,
                            size_t *count) {
    tare_params *ps = tare_params_new(3);
    tare_tape *tape = tare_tape_new((tare_tape_opt){ .training = true, .guard = true });
    tare_layer *embedding = tare_layer_embedding(ps, "e", ROWS, IN);
    tare_layer_rnn_opt opt = { .layers = 2, .batch_first = batch_first, .sequence = sequence };
    tare_layer *layer = tare_layer_rnn(ps, "r", kind, IN, WIDTH, opt);
    tare_rnn_state *s = tare_rnn_state_new(layer, B);
    assert_ok(tare_layer_rnn_carry(layer, s));
    int32_t index[T * B];
    for (int i = 0; i < T * B; i++) { index[i] = i * i % ROWS; }
    tare_params_zero_grad(ps);
    tare_shape shape = batch_first ? TARE_SHAPE(B, T) : TARE_SHAPE(T, B);
    tare_tensor *x = tare_layer_embed(embedding, tape, index, shape);
    const int32_t *found;
    assert_ptr_equal(tare_params_at(ps, 0), tare_embedding_of(x, &found));
    assert_memory_equal(index, found, sizeof index);
    if (hidden) { x = tare_scale(tape, x, 1); }
    if (hidden) { assert_null(tare_embedding_of(x, &found)); }
    tare_tensor *y = tare_forward(layer, tape, x);
    if (!y) { fail_msg("%s", tare_tape_error(tape)); }
    memset(index, 0, sizeof index); /* the caller's may go */
    assert_ok(tare_backward(tape, tare_sum(tape, tare_mul(tape, y, y), 0, false)));
    assert_ok(tare_tape_guard(tape));
    int64_t states;
    const tare_real *last = tare_rnn_state_data(s, &states);
    *count = (size_t)(tare_params_flat_size(ps) + states);
    tare_real *all = tare_malloc(*count * sizeof *all);
    memcpy(all, last, (size_t)states * sizeof *all);
    memcpy(all + states, tare_params_flat_grad(ps), (*count - (size_t)states) * sizeof *all);
    tare_rnn_state_free(s);
    tare_tape_free(tape);
    tare_params_free(ps);
    return all;
}

static void a_table_is_as_its_rows(void **state) {
    (void)state;
    static const int32_t lengths[B] = { 6, 1, 3, 6, 2, 5, 4, 6, 1 };
    for (int i = 0; i < 16; i++) {
        tare_sequence sequence = { .lengths = i & 1 ? lengths : NULL };
        size_t count, same;
        tare_rnn_kind kind = (tare_rnn_kind)(i / 4);
        tare_real *table = gradients(kind, &sequence, i & 2, false, &count);
        tare_real *rows = gradients(kind, &sequence, i & 2, true, &same);
        assert_int_equal(same, count);
        for (size_t j = 0; j < count; j++) {
            double size = (double)(rows[j] < 0 ? -rows[j] : rows[j]);
            assert_near(table[j], rows[j], test_tol(2e-5, 1e-13) * (1 + size));
        }
        tare_free(table);
        tare_free(rows);
    }
}

static void index_errors(void **state) {
    (void)state;
    tare_tape *tape = tare_tape_new((tare_tape_opt){ 0 });
    int32_t index[2] = { 0, 3 };
    for (int i = 0; i < 3; i++) {
        tare_tape_reset(tape);
        tare_tensor *x = tare_input(tape, i ? TARE_SHAPE(3, 8) : TARE_SHAPE(3, 8, 1), NULL);
        tare_rnn_weights w = { .w_hh = tare_input(tape, TARE_SHAPE(8, 2), NULL) };
        tare_rnn_opt opt = { .index = index, .steps = i == 1 ? 0 : 2, .batch = 1 };
        assert_null(tare_rnn(tape, TARE_LSTM, x, w, NULL, NULL, opt));
        assert_contains(tare_tape_error(tape),
                        i == 2 ? "index 3 at position 1 is outside the table of 3 rows" : "must be a table");
    }
    tare_tape_free(tape);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(within_a_wider_one_it_is_the_same),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(a_table_is_as_its_rows),
        cmocka_unit_test(index_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
