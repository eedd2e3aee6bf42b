/* test_rnn.c - recurrent nets: states carried from stretch to stretch, lengths, norms in the cell, threads, memory, errors. Numbers
 * beside PyTorch's: test_ops.c, test_sequence_pytorch.c.   tare-test: double isa */
#include "testing_support.h"

#include <tare/sequence.h>
#include <tare/testing.h>

#include <math.h>
#include <stdio.h>

enum { IN = 3, H = 6 };

static const struct net {
    const char *name;
    tare_rnn_kind kind;
    tare_layer_rnn_opt opt;
} nets[] = {
    { "tanh", TARE_RNN_TANH, { .layers = 2 } },
    { "relu", TARE_RNN_RELU, { 0 } },
    { "gru", TARE_GRU, { .layers = 2, .no_bias = true } },
    { "lstm", TARE_LSTM, { .layers = 3 } },
    { "lstm, ln of inputs", TARE_LSTM, { .input_norm = "ln" } },
    { "tanh, ln inside", TARE_RNN_TANH, { .cell_norm = "ln" } },
    { "gru, ln inside", TARE_GRU, { .cell_norm = "ln", .layers = 2 } },
    { "lstm, rms inside", TARE_LSTM, { .cell_norm = "rms", .layers = 2 } },
};
enum { NETS = sizeof nets / sizeof *nets };

static void fill(tare_tensor *x, const char *name) {
    assert_non_null(x);
    tare_rng rng = tare_rng_new(21, name);
    for (int64_t i = 0; i < x->numel; i++) { x->data[i] = (tare_real)tare_rng_normal(&rng); }
}

static tare_layer *build(tare_params *ps, const struct net *net, const tare_sequence *sequence) {
    tare_layer_rnn_opt opt = net->opt;
    opt.sequence = sequence;
    tare_layer *layer = tare_layer_rnn(ps, "r", net->kind, IN, H, opt);
    if (!layer) { fail_msg("%s: %s", net->name, tare_params_error(ps)); }
    return layer;
}

static tare_tensor *run(tare_layer *layer, tare_tape *tape, tare_tensor *x) {
    tare_tensor *y = tare_forward(layer, tape, x);
    if (!y) { fail_msg("%s", tare_tape_error(tape)); }
    return y;
}

/* ---- states ---------------------------------------------------------------------------------------------------------- */

/* Two stretches and the states between them give what the whole gives. */
static void stretches_join(void **state) {
    (void)state;
    enum { T = 9, B = 3, CUT = 4 };
    for (int i = 0; i < NETS; i++) {
        tare_params *ps = tare_params_new(4);
        tare_tape *tape = tare_tape_new((tare_tape_opt){ .guard = true });
        tare_layer *layer = build(ps, &nets[i], NULL);
        tare_tensor *x = tare_input(tape, TARE_SHAPE(T, B, IN), NULL);
        fill(x, "x");
        tare_tensor *whole = run(layer, tape, x);
        tare_rnn_state *s = tare_rnn_state_new(layer, B);
        assert_ok(tare_layer_rnn_carry(layer, s));
        tare_tensor *a = run(layer, tape, tare_slice(tape, x, 0, 0, CUT, 1));
        tare_tensor *b = run(layer, tape, tare_slice(tape, x, 0, CUT, T, 1));
        double tol = test_tol(2e-6, 1e-14);
        for (int64_t j = 0; j < whole->numel; j++) {
            int64_t cut = CUT * B * H;
            assert_near(j < cut ? a->data[j] : b->data[j - cut], whole->data[j], tol);
        }
        /* the state is the last layer's last output, and zeros begin anew */
        int64_t count;
        tare_real *data = tare_rnn_state_data(s, &count);
        int layers = nets[i].opt.layers ? nets[i].opt.layers : 1;
        assert_int_equal(layers * B * H * (nets[i].kind == TARE_LSTM ? 2 : 1), count);
        assert_memory_equal(data + (layers - 1) * B * H, b->data + (T - CUT - 1) * B * H, B * H * sizeof(tare_real));
        tare_rnn_state_zero(s);
        tare_tensor *again = run(layer, tape, tare_slice(tape, x, 0, 0, CUT, 1));
        assert_memory_equal(a->data, again->data, (size_t)a->numel * sizeof(tare_real));
        assert_ok(tare_layer_rnn_carry(layer, NULL));
        tare_tensor *free_again = run(layer, tape, x);
        assert_memory_equal(whole->data, free_again->data, (size_t)whole->numel * sizeof(tare_real));
        assert_ok(tare_tape_guard(tape));
        tare_rnn_state_free(s);
        tare_tape_free(tape);
        tare_params_free(ps);
    }
}

/* Gradients stop at a stretch's start, and are those of the stretch alone from a fixed state, though the state has moved on when
 * backward comes. */
static void history_is_cut(void **state) {
    (void)state;
    enum { T = 3, B = 2 };
    for (int i = 0; i < NETS; i++) {
        tare_params *ps = tare_params_new(4);
        tare_tape *tape = tare_tape_new((tare_tape_opt){ .training = true });
        tare_layer *layer = build(ps, &nets[i], NULL);
        tare_rnn_state *s = tare_rnn_state_new(layer, B);
        assert_ok(tare_layer_rnn_carry(layer, s));
        tare_tensor *x = tare_input(tape, TARE_SHAPE(T, B, IN), NULL);
        fill(x, "x");
        x->requires_grad = true;
        run(layer, tape, x);
        int64_t count;
        tare_real *data = tare_rnn_state_data(s, &count), *before = tare_malloc((size_t)count * sizeof *before);
        memcpy(before, data, (size_t)count * sizeof *before);
        tare_real *first = NULL;
        for (int again = 0; again < 2; again++) {
            memcpy(data, before, (size_t)count * sizeof *before);
            tare_params_zero_grad(ps);
            tare_tensor *y = tare_mean(tape, run(layer, tape, x), 0, false);
            if (again) { run(layer, tape, x); } /* moves the state before backward */
            assert_ok(tare_backward(tape, y));
            if (!first) {
                first = tare_malloc((size_t)x->numel * sizeof *first);
                memcpy(first, x->grad, (size_t)x->numel * sizeof *first);
            }
        }
        /* the second pass added the same again */
        for (int64_t j = 0; j < x->numel; j++) {
            assert_near(x->grad[j], 2 * (double)first[j], 1e-6 * fabs((double)first[j]) + 1e-12);
        }
        tare_free(first);
        tare_free(before);
        tare_rnn_state_free(s);
        tare_tape_free(tape);
        tare_params_free(ps);
    }
}

/* ---- lengths --------------------------------------------------------------------------------------------------------- */

/* A short sequence in a batch is what it is alone: results, states and gradients; what pads it does not matter. */
static void short_ones_are_as_alone(void **state) {
    (void)state;
    enum { T = 7, B = 3 };
    static const int32_t lengths[B] = { 7, 1, 4 };
    for (int i = 0; i < NETS; i++) {
        tare_params *ps = tare_params_new(4);
        tare_tape *tape = tare_tape_new((tare_tape_opt){ .training = true, .guard = true });
        tare_sequence sequence = { .lengths = lengths };
        tare_layer *layer = build(ps, &nets[i], &sequence);
        tare_tensor *x = tare_input(tape, TARE_SHAPE(T, B, IN), NULL);
        fill(x, "x");
        tare_tensor *alone[B];
        for (int b = 0; b < B; b++) {
            alone[b] = tare_input(tape, TARE_SHAPE(lengths[b], 1, IN), NULL);
            for (int t = 0; t < lengths[b]; t++) {
                memcpy(alone[b]->data + t * IN, x->data + (t * B + b) * IN, IN * sizeof(tare_real));
            }
            alone[b]->requires_grad = true;
        }
        x->requires_grad = true;
        tare_rnn_state *s = tare_rnn_state_new(layer, B), *one = tare_rnn_state_new(layer, 1);
        assert_ok(tare_layer_rnn_carry(layer, s));
        tare_tensor *y = run(layer, tape, x), *loss = tare_sum(tape, tare_mul(tape, y, y), 0, false);
        sequence.lengths = NULL;
        assert_ok(tare_layer_rnn_carry(layer, one));
        int64_t count, count_one;
        const tare_real *data = tare_rnn_state_data(s, &count), *data_one = tare_rnn_state_data(one, &count_one);
        double tol = test_tol(2e-5, 1e-13);
        for (int b = 0; b < B; b++) {
            tare_rnn_state_zero(one);
            tare_tensor *z = run(layer, tape, alone[b]);
            for (int t = 0; t < T; t++) {
                for (int h = 0; h < H; h++) {
                    double want = t < lengths[b] ? (double)z->data[t * H + h] : 0;
                    assert_near(y->data[(t * B + b) * H + h], want, tol);
                }
            }
            for (int64_t l = 0; l < count_one / H; l++) {
                for (int h = 0; h < H; h++) { assert_near(data[(l * B + b) * H + h], data_one[l * H + h], tol); }
            }
            loss = tare_add(tape, loss, tare_sum(tape, tare_mul(tape, z, z), 0, false));
        }
        assert_ok(tare_backward(tape, loss));
        for (int b = 0; b < B; b++) {
            for (int t = 0; t < T * IN; t++) {
                double want = t / IN < lengths[b] ? (double)alone[b]->grad[t] : 0;
                assert_near(x->grad[(t / IN * B + b) * IN + t % IN], want, tol);
            }
        }
        assert_ok(tare_tape_guard(tape));
        tare_rnn_state_free(s);
        tare_rnn_state_free(one);
        tare_tape_free(tape);
        tare_params_free(ps);
    }
}

/* ---- gradients, start ------------------------------------------------------------------------------------------------ */

static tare_tensor *run_net(tare_tape *tape, tare_tensor *const *in, void *user) {
    return tare_forward(user, tape, in[0]);
}

static void gradients(void **state) {
    (void)state;
    static const int32_t lengths[] = { 3, 2 };
    const struct net more[] = { { "bn of inputs", TARE_GRU, { .input_norm = "bn" } },
                                { "dropout", TARE_LSTM, { .layers = 2, .dropout = 0.3, .batch_first = true } },
                                { "ln inside, dropout", TARE_LSTM, { .layers = 2, .dropout = 0.3, .cell_norm = "ln" } },
                                { "gn inside", TARE_RNN_TANH, { .cell_norm = "gn:2" } } };
    for (int i = 0; i < 8; i++) {
        const struct net *net = i < 4 ? &more[i] : &nets[i];
        tare_params *ps = tare_params_new(4);
        tare_sequence sequence = { .lengths = i % 2 ? lengths : NULL };
        tare_layer *layer = build(ps, net, &sequence);
        tare_gradcheck_report report;
        const tare_gradcheck_opt opt = { .params = ps, .bits = sizeof(tare_real) == sizeof(float), .elements = 10 };
        const tare_gradcheck_input in = { .shape = net->opt.batch_first ? TARE_SHAPE(2, 3, IN) : TARE_SHAPE(3, 2, IN) };
        if (tare_gradcheck(net->name, run_net, layer, &in, 1, &opt, &report)) { fail_msg("%s", report.message); }
        tare_params_free(ps);
    }
}

static void starts_as_pytorch(void **state) {
    (void)state;
    tare_params *ps = tare_params_new(4);
    tare_layer_rnn(ps, "r", TARE_LSTM, 40, 25, (tare_layer_rnn_opt){ .layers = 2 });
    static const char *const names[] = { "r.weight_ih_l0", "r.weight_hh_l0", "r.bias_ih_l0", "r.bias_hh_l0",
                                         "r.weight_ih_l1", "r.weight_hh_l1", "r.bias_ih_l1", "r.bias_hh_l1" };
    assert_int_equal(8, tare_params_count(ps));
    for (int i = 0; i < 8; i++) {
        const tare_tensor *w = tare_params_at(ps, i);
        double most = 0;
        for (int64_t j = 0; j < w->numel; j++) { most = fmax(most, fabs((double)w->data[j])); }
        assert_string_equal(names[i], w->name);
        assert_true(most <= 0.2 && most > 0.9 * 0.2);
        assert_int_equal(i % 4 < 2, !(tare_params_flags(ps, i) & TARE_NO_DECAY));
    }
    assert_true(tare_shape_equal(TARE_SHAPE(100, 40), tare_params_at(ps, 0)->shape));
    assert_true(tare_shape_equal(TARE_SHAPE(100, 25), tare_params_at(ps, 4)->shape));
    tare_params_free(ps);
}

/* Past 64 and past 64 * 64 steps the single ops' results are joined in two rounds, or refused. */
static void long_sequences_within_the_cell(void **state) {
    (void)state;
    tare_params *ps = tare_params_new(4);
    tare_tape *tape = tare_tape_new((tare_tape_opt){ .no_grad = true });
    tare_layer *layer = tare_layer_rnn(ps, "r", TARE_RNN_TANH, 1, 2, (tare_layer_rnn_opt){ .cell_norm = "none" });
    tare_layer *fused = tare_layer_rnn(ps, "f", TARE_RNN_TANH, 1, 2, (tare_layer_rnn_opt){ 0 });
    for (int i = 0; i < 4; i++) {
        memcpy(tare_params_at(ps, i + 4)->data, tare_params_at(ps, i)->data,
               (size_t)tare_params_at(ps, i)->numel * sizeof(tare_real));
    }
    tare_tensor *x = tare_input(tape, TARE_SHAPE(150, 1, 1), NULL);
    fill(x, "x");
    tare_tensor *y = run(layer, tape, x), *z = run(fused, tape, x);
    assert_true(tare_shape_equal(TARE_SHAPE(150, 1, 2), y->shape));
    for (int i = 0; i < 300; i++) { assert_near(y->data[i], z->data[i], test_tol(2e-6, 1e-14)); }
    assert_null(tare_forward(layer, tape, tare_input(tape, TARE_SHAPE(4097, 1, 1), NULL)));
    assert_contains(tare_tape_error(tape), "rnn: x [4097,1,1] must be [T,B,in], with T in 1..4096");
    tare_tape_free(tape);
    tare_params_free(ps);
}

/* ---- threads, memory ------------------------------------------------------------------------------------------------- */

static void threads_change_nothing(void **state) {
    (void)state;
    enum { T = 5, B = 37, WIDE = 48 };
    for (int kind = TARE_RNN_TANH; kind <= TARE_LSTM; kind++) {
        tare_real *first = NULL;
        for (int threads = 1; threads <= 3; threads++) {
            tare_threads_set(threads);
            tare_params *ps = tare_params_new(4);
            tare_tape *tape = tare_tape_new((tare_tape_opt){ .training = true });
            tare_layer *layer =
                tare_layer_rnn(ps, "r", (tare_rnn_kind)kind, 20, WIDE, (tare_layer_rnn_opt){ .layers = 2 });
            tare_tensor *x = tare_input(tape, TARE_SHAPE(T, B, 20), NULL);
            fill(x, "x");
            tare_params_zero_grad(ps);
            tare_tensor *y = run(layer, tape, x);
            assert_ok(tare_backward(tape, tare_sum(tape, tare_mul(tape, y, y), 0, false)));
            size_t bytes = (size_t)tare_params_flat_size(ps) * sizeof *first;
            if (!first) {
                first = tare_malloc(bytes);
                memcpy(first, tare_params_flat_grad(ps), bytes);
            }
            assert_memory_equal(first, tare_params_flat_grad(ps), bytes);
            tare_tape_free(tape);
            tare_params_free(ps);
        }
        tare_free(first);
    }
    tare_threads_set(0);
}

static void no_allocation_after_the_second_step(void **state) {
    (void)state;
    for (int i = 0; i < NETS; i++) {
        tare_params *ps = tare_params_new(4);
        tare_tape *tape = tare_tape_new((tare_tape_opt){ .training = true });
        tare_layer *layer = build(ps, &nets[i], NULL);
        tare_rnn_state *s = tare_rnn_state_new(layer, 4);
        assert_ok(tare_layer_rnn_carry(layer, s));
        uint64_t before = 0;
        for (int step = 0; step < 6; step++) {
            if (step == 2) { before = tare_alloc_count(); }
            tare_tape_reset(tape);
            tare_params_zero_grad(ps);
            tare_tensor *x = tare_input(tape, TARE_SHAPE(5, 4, IN), NULL);
            fill(x, "x");
            assert_ok(tare_backward(tape, tare_mean(tape, run(layer, tape, x), 0, false)));
        }
        assert_true(before == tare_alloc_count());
        tare_rnn_state_free(s);
        tare_tape_free(tape);
        tare_params_free(ps);
    }
}

static void short_memory(void **state) {
    (void)state;
    uint64_t live = tare_alloc_live();
    bool stands = false;
    for (uint64_t n = 1; !stands; n++) {
        assert_true(n < 1000);
        tare_alloc_fail_at(n);
        tare_params *ps = tare_params_new(1);
        tare_layer *layer =
            tare_layer_rnn(ps, "r", TARE_LSTM, 3, 4, (tare_layer_rnn_opt){ .layers = 2, .cell_norm = "ln" });
        tare_rnn_state *s = layer ? tare_rnn_state_new(layer, 2) : NULL;
        tare_alloc_fail_at(0);
        stands = s != NULL;
        assert_int_equal(layer ? TARE_OK : TARE_ENOMEM, tare_params_status(ps));
        tare_rnn_state_free(s);
        tare_params_free(ps);
        assert_true(live == tare_alloc_live());
    }
}

/* ---- errors ---------------------------------------------------------------------------------------------------------- */

static void construction_errors(void **state) {
    (void)state;
    static const struct {
        tare_rnn_kind kind;
        int64_t in, hidden;
        tare_layer_rnn_opt opt;
        const char *words;
    } cases[] = {
        { (tare_rnn_kind)7, 3, 4, { 0 }, "rnn \"r\": there is no kind 7" },
        { TARE_GRU, 0, 4, { 0 }, "0 -> 4, both must be 1 or more" },
        { TARE_GRU, 3, -4, { 0 }, "3 -> -4, both must be" },
        { TARE_GRU, 3, 4, { .layers = 9 }, "9 layers, must be 1..8" },
        { TARE_GRU, 3, 4, { .dropout = 1.5 }, "dropout is 1.5" },
        { TARE_GRU, 3, 4, { .input_norm = "bn", .cell_norm = "ln" }, "exclude each other" },
        { TARE_GRU, 3, 4, { .input_norm = "nope" }, "norm \"nope\"" },
        { TARE_GRU, 3, 4, { .cell_norm = "sn:iterations=2" }, "\"sn:iterations=2\" normalises weights" },
        { TARE_GRU, 3, 4, { .input_norm = "ws+gn" }, "\"ws+gn\" normalises weights" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tare_params *ps = tare_params_new(1);
        assert_null(tare_layer_rnn(ps, "r", cases[i].kind, cases[i].in, cases[i].hidden, cases[i].opt));
        assert_int_equal(TARE_EINVAL, tare_params_status(ps));
        assert_contains(tare_params_error(ps), cases[i].words);
        tare_params_free(ps);
    }
}

static void running_errors(void **state) {
    (void)state;
    tare_params *ps = tare_params_new(1);
    tare_tape *tape = tare_tape_new((tare_tape_opt){ 0 });
    tare_layer *r = tare_layer_rnn(ps, "r", TARE_GRU, 3, 4, (tare_layer_rnn_opt){ .batch_first = true });
    tare_layer *other = tare_layer_rnn(ps, "o", TARE_GRU, 3, 4, (tare_layer_rnn_opt){ 0 });
    assert_null(tare_forward(r, tape, tare_input(tape, TARE_SHAPE(2, 3), NULL)));
    assert_contains(tare_tape_error(tape), "rnn \"r\": x [2,3] must be [B,T,3]");
    tare_tape_reset(tape);
    tare_rnn_state *s = tare_rnn_state_new(r, 2);
    assert_status(TARE_EINVAL, tare_layer_rnn_carry(other, s));
    assert_contains(tare_error(), "the state was not made for \"o\"");
    assert_ok(tare_layer_rnn_carry(r, s));
    assert_null(tare_forward(r, tape, tare_input(tape, TARE_SHAPE(3, 5, 3), NULL)));
    assert_contains(tare_tape_error(tape), "x [3,5,3] has 3 sequences, the state carried 2");
    assert_null(tare_rnn_state_new(r, 0));
    assert_null(tare_rnn_state_new(tare_layer_relu(ps, "act"), 2));
    assert_contains(tare_error(), "2 sequences of \"act\", which must be a recurrent net");
    tare_rnn_state_free(s);
    tare_tape_free(tape);
    tare_params_free(ps);
}

typedef struct mistake {
    tare_rnn_kind kind;
    tare_shape x, w_ih, w_hh, b, h0, c0; /* ndim 0: absent */
    const int32_t *lengths;
    tare_status status;
    const char *words;
} mistake;

static tare_tensor *zeros(tare_tape *tape, tare_shape shape) {
    if (shape.ndim == 0) { return NULL; }
    tare_tensor *x = tare_input(tape, shape, NULL);
    for (int64_t i = 0; i < x->numel; i++) { x->data[i] = 0; }
    return x;
}

static void op_errors(void **state) {
    (void)state;
    static const int32_t lengths[] = { 5, 6 }, none[] = { 1, 0 };
    const tare_shape x = TARE_SHAPE(5, 2, 3), w_ih = TARE_SHAPE(16, 3), w_hh = TARE_SHAPE(16, 4), absent = TARE_SCALAR;
    const mistake mistakes[] = {
        { TARE_LSTM, TARE_SHAPE(2, 3), w_ih, w_hh, absent, absent, absent, NULL, TARE_ESHAPE, "rnn: x [2,3] must be" },
        { TARE_LSTM, TARE_SHAPE(0, 2, 3), w_ih, w_hh, absent, absent, absent, NULL, TARE_ESHAPE, "with a step" },
        { TARE_GRU, x, w_ih, w_hh, absent, absent, absent, NULL, TARE_ESHAPE, "w_hh [16,4] must be [3*H,H]" },
        { TARE_LSTM, x, TARE_SHAPE(16, 2), w_hh, absent, absent, absent, NULL, TARE_ESHAPE,
          "w_ih is [16,2], must be [16,3]" },
        { TARE_LSTM, x, absent, w_hh, absent, absent, absent, NULL, TARE_ESHAPE,
          "without w_ih x [5,2,3] must end in 16" },
        { TARE_LSTM, x, w_ih, w_hh, TARE_SHAPE(4), absent, absent, NULL, TARE_ESHAPE, "b_ih is [4], must be [16]" },
        { TARE_LSTM, x, w_ih, w_hh, absent, TARE_SHAPE(4, 2), absent, NULL, TARE_ESHAPE, "h0 is [4,2], must be [2,4]" },
        { TARE_LSTM, x, w_ih, w_hh, absent, absent, TARE_SHAPE(1, 4), NULL, TARE_ESHAPE, "c0 is [1,4], must be [2,4]" },
        { TARE_RNN_TANH, x, TARE_SHAPE(4, 3), TARE_SHAPE(4, 4), absent, absent, TARE_SHAPE(2, 4), NULL, TARE_EINVAL,
          "only an LSTM has a state c" },
        { (tare_rnn_kind)9, x, w_ih, w_hh, absent, absent, absent, NULL, TARE_EINVAL, "there is no kind 9" },
        { TARE_LSTM, x, w_ih, w_hh, absent, absent, absent, lengths, TARE_EINVAL,
          "length 6 of sequence 1 must lie in 1..5" },
        { TARE_LSTM, x, w_ih, w_hh, absent, absent, absent, none, TARE_EINVAL, "length 0 of sequence 1" },
    };
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        const mistake *m = &mistakes[i];
        tare_tape *tape = tare_tape_new((tare_tape_opt){ 0 });
        const tare_rnn_weights w = { zeros(tape, m->w_ih), zeros(tape, m->w_hh), zeros(tape, m->b), NULL };
        assert_null(tare_rnn(tape, m->kind, zeros(tape, m->x), w, zeros(tape, m->h0), zeros(tape, m->c0),
                             (tare_rnn_opt){ .lengths = m->lengths }));
        assert_int_equal(m->status, tare_tape_status(tape));
        assert_contains(tare_tape_error(tape), m->words);
        tare_tape_free(tape);
    }
}

int main(void) {
    if (test_isa_missing()) { return 77; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stretches_join),
        cmocka_unit_test(history_is_cut),
        cmocka_unit_test(short_ones_are_as_alone),
        cmocka_unit_test(gradients),
        cmocka_unit_test(starts_as_pytorch),
        cmocka_unit_test(long_sequences_within_the_cell),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(no_allocation_after_the_second_step),
        cmocka_unit_test(short_memory),
        cmocka_unit_test(construction_errors),
        cmocka_unit_test(running_errors),
        cmocka_unit_test(op_errors),
    };
    return cmocka_run_group_tests_name("rnn", tests, NULL, NULL);
}
