/* test_columns.c - text in columns: characters are counted, not bytes, and none is cut in two. */
#include "testing_support.h"

#include <tare/run.h>

#include "core/columns.h"

/* One, two, three and four bytes each: "aé層😀". */
#define FOUR "a\xc3\xa9\xe5\xb1\xa4\xf0\x9f\x98\x80"

static void counts_characters(void **state) {
    (void)state;
    assert_int_equal(tare_terminal_columns(""), 0);
    assert_int_equal(tare_terminal_columns("plain"), 5);
    assert_int_equal(tare_terminal_columns(FOUR), 4);
    assert_int_equal(tare__columns(FOUR, 3), 2);
}

static void bytes_end_with_a_character(void **state) {
    (void)state;
    static const size_t ends[] = { 0, 1, 3, 6, 10, 10 };
    for (int n = 0; n < 6; n++) { assert_int_equal(tare__columns_bytes(FOUR, n), ends[n]); }
}

static void cells_are_cut_and_padded(void **state) {
    (void)state;
    tare__cell_buf cell;
    assert_string_equal(tare__cell_text("gn:8", 6, &cell), "gn:8  ");
    assert_string_equal(tare__cell_text(FOUR, 6, &cell), FOUR "  ");
    assert_string_equal(tare__cell_text(FOUR, 4, &cell), FOUR);
    assert_string_equal(tare__cell_text(FOUR FOUR, 5, &cell), "a\xc3\xa9\xe5\xb1\xa4..");
    assert_string_equal(tare__cell_cut("gn:8", 6, &cell), "gn:8");
    assert_string_equal(tare__cell_cut(FOUR FOUR, 4, &cell), "a\xc3\xa9..");
}

/* The widest cell of the longest characters still fits its buffer. */
static void the_widest_cell(void **state) {
    (void)state;
    char text[4 * (TARE__CELL + 1) + 1] = "";
    for (int i = 0; i <= TARE__CELL; i++) { memcpy(text + 4 * i, "\xf0\x9f\x98\x80", 5); }
    tare__cell_buf cell;
    assert_int_equal(tare_terminal_columns(tare__cell_text(text, TARE__CELL, &cell)), TARE__CELL);
    assert_string_equal(cell.text + strlen(cell.text) - 2, "..");
    assert_string_equal(tare__cell_text(text + 4, TARE__CELL, &cell), text + 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_characters),
        cmocka_unit_test(bytes_end_with_a_character),
        cmocka_unit_test(cells_are_cut_and_padded),
        cmocka_unit_test(the_widest_cell),
    };
    return cmocka_run_group_tests_name("columns", tests, NULL, NULL);
}
