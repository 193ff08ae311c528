import pytest

from practice import sandbox, schemas, sql_check

OUTCOME = schemas.Outcome
SHORT = sandbox.Limits(wall=0.6)

CREATE = """
CREATE TABLE member (id integer PRIMARY KEY, name text);
CREATE TABLE loan (id integer PRIMARY KEY, member_id integer, taken date);
"""
NEVER_BORROWED = """
SELECT member.name FROM member LEFT JOIN loan ON loan.member_id = member.id WHERE loan.id IS NULL
"""


def case(*, members=(), loans=(), expected=(), in_order=False):
    return schemas.SqlTest(
        tables=[
            schemas.SqlTable(table="member", rows=[list(row) for row in members]),
            schemas.SqlTable(table="loan", rows=[list(row) for row in loans]),
        ],
        expected=[list(row) for row in expected],
        in_order=in_order,
    )


TWO_WITHOUT = case(
    members=[(1, "Ada"), (2, "Bo"), (3, "Cy")], loans=[(1, 2, "2026-01-02")], expected=[("Cy",), ("Ada",)]
)


def verify(query, *cases, create=CREATE, **options):
    return sql_check.verify(query, create=create, tests=cases or (TWO_WITHOUT,), **options)


def test_a_right_query_passes_every_test():
    verdict = verify(NEVER_BORROWED, TWO_WITHOUT, case(), case(members=[(1, "Ada")], expected=[("Ada",)]))

    assert (verdict.passed, verdict.tests, verdict.failures) == (True, 3, [])


def test_a_wrong_query_shows_the_rows_that_fail_it():
    verdict = verify("SELECT name FROM member JOIN loan ON member_id = member.id", TWO_WITHOUT)

    assert verdict.failures == [
        schemas.Failure(
            outcome=OUTCOME.WRONG_ANSWER,
            message=sql_check.MESSAGE,
            input='{"member": [[1, "Ada"], [2, "Bo"], [3, "Cy"]], "loan": [[1, 2, "2026-01-02"]]}',
            expected=[["Cy"], ["Ada"]],
            actual=[["Bo"]],
        )
    ]


@pytest.mark.parametrize(("in_order", "passed"), [(False, True), (True, False)])
def test_the_order_of_rows_counts_where_the_task_says_so(in_order, passed):
    test = case(members=[(1, "Ada"), (2, "Bo")], expected=[("Bo",), ("Ada",)], in_order=in_order)

    verdict = verify("SELECT name FROM member ORDER BY name", test)

    assert verdict.passed is passed


@pytest.mark.parametrize(
    ("expected", "passed"),
    [
        pytest.param([(2,)], False, id="one for two"),
        pytest.param([(2,), (2,)], True, id="both"),
        pytest.param([(2,), (2,), (2,)], False, id="three for two"),
    ],
)
def test_repeated_rows_count(expected, passed):
    test = case(members=[(1, "Ada"), (2, "Bo")], expected=expected)

    verdict = verify("SELECT 2 FROM member", test)

    assert verdict.passed is passed


def test_a_truth_value_is_the_number_that_the_database_keeps():
    verdict = verify("SELECT 1 = 1, NULL", case(expected=[(True, None)]))

    assert verdict.passed


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "


@pytest.mark.parametrize(
    ("query", "outcome"),
    [
        pytest.param("ATTACH DATABASE '/tmp/x.db' AS x", OUTCOME.FORBIDDEN, id="attaches"),
        pytest.param("DROP TABLE member", OUTCOME.FORBIDDEN, id="drops"),
        pytest.param("DELETE FROM member", OUTCOME.FORBIDDEN, id="deletes"),
        pytest.param("INSERT INTO member VALUES (9, 'x')", OUTCOME.FORBIDDEN, id="inserts"),
        pytest.param("PRAGMA database_list", OUTCOME.FORBIDDEN, id="asks for settings"),
        pytest.param("VACUUM INTO '/tmp/x.db'", OUTCOME.RAISED, id="writes a file"),
        pytest.param("SELECT load_extension('/tmp/x.so')", OUTCOME.FORBIDDEN, id="loads a library"),
        pytest.param("SELECT 1; DROP TABLE member", OUTCOME.RAISED, id="two statements"),
        pytest.param("SELEC 1", OUTCOME.RAISED, id="no SQL"),
        pytest.param("SELECT nothing FROM member", OUTCOME.RAISED, id="no such column"),
        pytest.param("SELECT '\x00' FROM member", OUTCOME.RAISED, id="NUL"),
        pytest.param("SELECT zeroblob(2000000000)", OUTCOME.RAISED, id="a huge value"),
        pytest.param("SELECT x'00'", OUTCOME.RAISED, id="bytes"),
        pytest.param(ENDLESS + "SELECT i FROM n", OUTCOME.RAISED, id="rows without end"),
        pytest.param(ENDLESS + "SELECT max(i) FROM n", OUTCOME.TIME_LIMIT, id="no end"),
        pytest.param(
            ENDLESS + "SELECT printf('%.*c', 100000, 'x') FROM n LIMIT 10",
            OUTCOME.OUTPUT_LIMIT,
            id="a megabyte",
        ),
    ],
)
def test_bad_conduct_gets_a_clear_verdict(query, outcome):
    limits = SHORT if outcome is OUTCOME.TIME_LIMIT else sandbox.Limits()

    verdict = verify(query, case(expected=[("never",)]), limits=limits)

    assert [failure.outcome for failure in verdict.failures] == [outcome]


@pytest.mark.parametrize(
    ("create", "outcome"),
    [
        pytest.param("CREATE TABLE member (id integer", OUTCOME.BROKEN, id="no SQL"),
        pytest.param("CREATE TABLE other (id integer)", OUTCOME.BROKEN, id="another table"),
        pytest.param(CREATE + "ATTACH '/tmp/x.db' AS x;", OUTCOME.FORBIDDEN, id="attaches"),
        pytest.param(CREATE + "DROP TABLE member;", OUTCOME.FORBIDDEN, id="drops"),
        pytest.param(
            CREATE + "CREATE TRIGGER t AFTER INSERT ON loan BEGIN SELECT 1; END;",
            OUTCOME.FORBIDDEN,
            id="trigger",
        ),
    ],
)
def test_tables_that_cannot_be_made_say_so(create, outcome):
    verdict = verify(NEVER_BORROWED, create=create)

    assert [failure.outcome for failure in verdict.failures] == [outcome]


def test_a_query_sees_nothing_of_another_test():
    verdict = verify(
        "SELECT count(*) FROM member", case(members=[(1, "Ada")], expected=[(1,)]), case(expected=[(0,)])
    )

    assert verdict.passed
