import psycopg


def test_a_made_database_is_a_copy_of_its_template(make_database):
    template = make_database()
    with psycopg.connect(template) as connection:
        connection.execute("CREATE TABLE lesson AS SELECT 'joins' AS slug")

    copy = make_database(template=template)

    with psycopg.connect(copy) as connection:
        assert connection.execute("SELECT slug FROM lesson").fetchone() == ("joins",)


def test_a_made_database_is_empty_without_a_template(make_database):
    with psycopg.connect(make_database()) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()

    assert tables == (0,)
