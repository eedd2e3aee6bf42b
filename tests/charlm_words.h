/* charlm_words.h - a small made-up language for the tests of tare charlm: words from a short list, one of them not in ASCII. */
#ifndef TARE_CHARLM_WORDS_H
#define TARE_CHARLM_WORDS_H

#include "run_folder.h"

#include <tare/tare.h>

/* Commands share this: a net and a batch small enough for a second. */
#define TEXT  "--text %s/words.txt --seed 3 --threads 1 --eval-every 50 "
#define SMALL TEXT "--layers 2 --heads 2 --width 32 --context 16 --batch 8 --lr 5e-3 "
#define CELLS TEXT "--width 48 --context 16 --batch 8 --lr 1e-2 "

static inline void write_words(const char *name, int words) {
    static const char *const list[] = { "the", "cat", "sat", "on", "mat", "caf\xc3\xa9", "and", "then", "slept" };
    tare_rng rng = tare_rng_new(5, name);
    FILE *file = fopen(test_path(work, name), "w");
    assert_non_null(file);
    for (int i = 0; i < words; i++) {
        fprintf(file, "%s%s", list[tare_rng_below(&rng, 9)], i % 12 == 11 ? ".\n" : " ");
    }
    fclose(file);
}

static inline void write_bytes(const char *name, const char *bytes, size_t size) {
    FILE *file = fopen(test_path(work, name), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
}

static inline int make_text(void **state) {
    (void)state;
    work = test_dir_new();
    write_words("words.txt", 2400);
    return 0;
}

static inline int remove_text(void **state) {
    (void)state;
    test_dir_remove(work);
    return 0;
}

/* A model that a file's tests share: trained by the first of them that asks. */
static inline const char *writer(void) {
    const char *folder = place("writer");
    if (!exists(folder)) {
        assert_code(0, run("tare-charlm " SMALL "--steps 200 --sample 0 --quiet --out %s", work, folder));
    }
    return folder;
}

#endif
