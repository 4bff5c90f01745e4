"""A catalogue out of any file: what is decided is said, and what is not certain sends nothing."""

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from openpyxl import Workbook

from chassis.errors import ConveyorError
from chassis.settings import settings
from conveyor.catalogue_command import load
from conveyor.catalogue_file import Answers, Catalogue, CatalogueError, read_catalogue
from conveyor.tables.errors import Uncertain, Unreadable

HEADER = "sku,name,price,stock\n"


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str | bytes], Path]:
    """Writes a file; text in UTF-8."""

    def write(content: str | bytes) -> Path:
        path = tmp_path / "catalogue.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.fixture
def run(gateway, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Result]]:
    """`conveyor catalogue load` with these arguments, on the gateway of this process."""
    monkeypatch.setenv("CONVEYOR_GATEWAY_URL", gateway.url)
    settings.cache_clear()

    def invoke(*arguments: object) -> Result:
        return CliRunner().invoke(load, [str(each) for each in arguments])

    yield invoke
    settings.cache_clear()


def skus(found: Catalogue) -> list[str]:
    return [each["sku"] for each in found.products.values()]


class TestReading:
    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ("sku;name;price\nA;Tasse;3,90\n", ("semicolons", "decimal comma (3,90 in line 2)")),
            ("sku\tname\tprice\nA\tTasse\t3.90\n", ("tabs", "decimal point")),
            ("\ufeffsku,name,price\nA,Tasse,3.90\n", ("byte order mark", "commas")),
            ("sep=;\nsku;name;price\nA;Tasse;3.90\n", ("as its sep= line says", "header in line 2, 1 line above it")),
            ("Our catalogue\n\nsku,name,price\nA,Tasse,3.90\n", ("header in line 3, 1 line above it",)),
            ("SKU,Name,PRICE,Colour\nA,Tasse,3.90,red\n", ("sku, name, price; left alone: Colour",)),
            ("sku,name,price\nA,Tasse,\u20ac 3.90\n", ("prices are in EUR",)),
        ],
    )
    def test_what_is_decided_is_said(self, file, content: str, said: tuple[str, ...]) -> None:
        found = read_catalogue(file(content))
        assert all(each in "\n".join(found.lines()) for each in said), [*found.lines()]
        [product] = found.products.values()
        assert product == {"sku": "A", "name": "Tasse", "price": "3.90", "stock_quantity": 0}

    def test_numbers_are_read_as_all_of_them_say(self, file) -> None:
        found = read_catalogue(file("sku;name;price;stock\nA;Schraube;0,05;1.000\nB;Bank;1.250,00;2\n"))
        assert [(each["price"], each["stock_quantity"]) for each in found.products.values()] == [
            ("0.05", 1000),
            ("1250.00", 2),
        ]

    @pytest.mark.parametrize(("answer", "price"), [("point", "1.250"), ("comma", "1250")])
    def test_numbers_that_do_not_tell_are_asked_about(self, file, answer: str, price: str) -> None:
        path = file("sku;name;price\nA;Tasse;1.250\n")
        with pytest.raises(Uncertain, match="--decimal point or --decimal comma"):
            read_catalogue(path)
        [product] = read_catalogue(path, Answers(decimal=answer)).products.values()
        assert product["price"] == price

    def test_units_in_stock_are_asked_about_like_prices(self, file) -> None:
        with pytest.raises(Uncertain, match=r"1\.000 in line 2 may be thousands or a decimal"):
            read_catalogue(file("sku;name;price;stock\nA;Schraube;5;1.000\n"))

    def test_an_encoding_that_is_not_utf_8_is_asked_about_and_readings_are_shown(self, file) -> None:
        path = file("sku,name,price\nA,G\u0142owa,1.00\nB,\u017b\u00f3\u0142w,2.00\n".encode("iso8859-2"))
        with pytest.raises(Uncertain, match="--encoding NAME") as asked:
            read_catalogue(path)
        assert any("\u017b\u00f3\u0142w" in each for each in asked.value.shown)
        found = read_catalogue(path, Answers(encoding="iso8859-2"))
        assert [each["name"] for each in found.products.values()] == ["G\u0142owa", "\u017b\u00f3\u0142w"]

    def test_columns_that_are_called_otherwise_are_mapped(self, file) -> None:
        path = file("Artikel;Bezeichnung;Preis;Preis\nA;Tasse;3,90;2,00\n")
        with pytest.raises(CatalogueError, match=r"no line names the columns sku, name, price. --map sku=TITLE"):
            read_catalogue(path)
        mapped = {"sku": "artikel", "name": "Bezeichnung", "price": "Preis"}
        with pytest.raises(Uncertain, match=r"the columns 3, 4 are all called Preis. Say --map price=#NUMBER"):
            read_catalogue(path, Answers(mapped=mapped))
        found = read_catalogue(path, Answers(mapped={**mapped, "price": "#4"}))
        assert [each["price"] for each in found.products.values()] == ["2.00"]
        assert found.said["columns"] == "sku is 'Artikel', name is 'Bezeichnung', price is 'Preis'; left alone: Preis"

    def test_two_currencies_are_not_one(self, file) -> None:
        with pytest.raises(Uncertain, match=r"several currencies \(EUR, GBP\)"):
            read_catalogue(file("sku,name,price\nA,Cup,\u20ac1.00\nB,Cup,\u00a31.00\n"))

    @pytest.mark.parametrize(
        ("row", "why"),
        [
            ("A,One,cheap,1", "the price is no number: 'cheap'"),
            ("A,One,,1", "no price"),
            ("A,One,-1.00,1", "the price is against a rule"),
            ("A,One,1.005,1", "the price is against a rule"),
            ("A,One,1.00,half", "the stock is no number: 'half'"),
            ("A,One,1.00,0.5", "the stock is no whole number: '0.5'"),
            ("A,One,1.00,-1", "the stock is against a rule"),
            (",One,1.00,1", "no sku"),
            ("A,,1.00,1", "the name is against a rule"),
            ("A,One", "broken row: 2 columns where the header has 4"),
            ("8.01E+15,One,1.00,1", "the sku is in scientific notation, 8.01E+15"),
            ("#N/A,One,1.00,1", "the sku is #N/A"),
            ("MU\u200bG,One,1.00,1", "the sku has a character that cannot be seen: U+200B ZERO WIDTH SPACE"),
            (f"{'A' * 65},One,1.00,1", "the sku is against a rule"),
            ("sku,name,price,stock", "the header once more"),
        ],
    )
    def test_a_row_that_cannot_be_a_product_is_told_and_stops_no_other(self, file, row: str, why: str) -> None:
        found = read_catalogue(file(f"{HEADER}OK-1,Cup,1.25,1\n{row}\nOK-2,Cup,1.50,1\n"))
        assert skus(found) == ["OK-1", "OK-2"]
        assert [*found.refused] == [3]
        assert found.refused[3].startswith(why)
        [counted] = [each for each in found.lines() if each.startswith("           1  ")]
        assert counted.strip().removeprefix("1  ") == found.refused[3].partition(":")[0]

    def test_a_mac_and_windows_write_one_sku(self, file) -> None:
        found = read_catalogue(file(f"{HEADER}CAFE\u0301,Cup,1.25,1\nCAF\u00c9,Cup,1.25,1\n"))
        assert skus(found) == ["CAF\u00c9"]
        assert "1 left out, since another line has the SKU (line 3 as line 2)" in found.said["repeats"]


class TestRepeats:
    def test_a_row_that_says_the_same_is_told_and_sent_once(self, file) -> None:
        found = read_catalogue(file(f"{HEADER}A,Cup,1.25,1\nB,Pot,2.50,1\nA,Cup,1.25,1\n"))
        assert (skus(found), found.repeated) == (["A", "B"], {4: 2})
        assert "line 4 as line 2" in found.said["repeats"]

    def test_rows_that_differ_are_asked_about(self, file) -> None:
        path = file(f"{HEADER}A,Cup,1.25,1\nB,Pot,2.50,1\nA,Cup,1.75,1\n")
        with pytest.raises(Uncertain, match=r"\(A in lines 2 and 4\). Say --repeats first or --repeats last") as asked:
            read_catalogue(path)
        assert [*asked.value.shown] == [
            "line 2: sku A, name Cup, price 1.25, stock 1",
            "line 4: sku A, name Cup, price 1.75, stock 1",
        ]
        for answer, price in (("first", "1.25"), ("last", "1.75")):
            found = read_catalogue(path, Answers(repeats=answer))
            assert {each["sku"]: each["price"] for each in found.products.values()} == {"A": price, "B": "2.50"}
            assert f"of rows that differ the {answer} is sent" in found.said["repeats"]


class TestLookalikes:
    CONTENT = f"{HEADER}MUG-K7,Cup,1.25,1\nmug-k7,Cup,1.25,1\n\u041cUG-K7,Cup,1.25,1\nMUG-K8,Cup,1.25,1\n"

    def test_they_are_told_before_anything_is_sent(self, file) -> None:
        found = read_catalogue(file(self.CONTENT))
        assert skus(found) == ["MUG-K7", "MUG-K8"]
        assert found.refused[3].startswith("the SKU looks like another: mug-k7 looks like MUG-K7 of line 2")
        assert "it has U+041C CYRILLIC CAPITAL LETTER EM" in found.refused[4]

    def test_they_are_sent_where_that_is_allowed_and_each_is_a_warning(self, file, run, gateway) -> None:
        result = run(file(self.CONTENT), "--allow-lookalikes")
        assert result.exit_code == 0, result.output
        assert {"line 3: warning: mug-k7", "line 4: warning: \u041cUG-K7"} <= {
            each.partition(" looks")[0] for each in result.stderr.splitlines()
        }
        assert "2 are sent all the same, as --allow-lookalikes says" in result.output
        made = {each["sku"] for each in gateway.products.values()}
        assert made == {"MUG-K7", "MUG-K8", "mug-k7", "\u041cUG-K7"}

    def test_one_that_looks_like_a_product_of_the_shop_is_refused_or_a_warning(self, file, run, gateway) -> None:
        run(file(f"{HEADER}MUG-K7,Cup,1.25,1\n"))
        other = file(f"{HEADER}mug-k7,Cup,1.25,1\n")
        refused = run(other)
        assert (refused.exit_code, len(gateway.products)) == (1, 1)
        assert "line 2: The SKU mug-k7 looks like MUG-K7. (409 sku_lookalike)" in refused.stderr
        allowed = run(other, "--allow-lookalikes")
        assert (allowed.exit_code, len(gateway.products)) == (0, 2)
        assert "line 2: warning: The SKU mug-k7 looks like MUG-K7." in allowed.stderr
        again = run(other, "--allow-lookalikes")
        assert "0 products created, 1 known already, 0 refused" in again.output


class TestWorkbooks:
    @pytest.fixture
    def xlsx(self, tmp_path: Path) -> Path:
        book = Workbook()
        sheet = book.active
        sheet.title = "Notes"
        sheet.append(["nothing"])
        sheet = book.create_sheet("Catalogue")
        for row in (
            ["sku", "name", "price", "stock"],
            [4006381333931, "Cup", 3.9, 12],
            ["A-2", "Pot", 0.1 + 0.2, 1],
            ["A-3", "Lid", "=1+1", 1],
            ["A-4", "Can", "#N/A", 1],
            ["A-5", "#REF!", 1.0, 1],
        ):
            sheet.append(row)
        book.save(tmp_path / "catalogue.xlsx")
        return tmp_path / "catalogue.xlsx"

    def test_xlsx(self, xlsx: Path) -> None:
        found = read_catalogue(xlsx)
        assert [(each["sku"], each["price"], each["stock_quantity"]) for each in found.products.values()] == [
            ("4006381333931", "3.9", 12),
            ("A-2", "0.3", 1),
        ]
        assert found.refused == {
            4: "the price is a formula, without a value",
            5: "the price is #N/A, without a value",
            6: "the name is #REF!, without a value",
        }
        assert "workbook (xlsx), sheet 'Catalogue', the only one of 2 with such columns" in found.said["file"]

    def test_ods(self, tmp_path: Path) -> None:
        names = 'xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"'
        names += ' xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0"'
        names += ' xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"'

        def row(*cells: str) -> str:
            return f"<table:table-row>{''.join(map(cell, cells))}</table:table-row>"

        def cell(value: str) -> str:
            number = f' office:value-type="float" office:value="{value}"' if value[0].isdigit() else ""
            return f"<table:table-cell{number}><text:p>{value}</text:p></table:table-cell>"

        # 0.1 + 0.2, as a workbook calculates it
        rows = row("sku", "name", "price") + row("A", "Cup", "0.30000000000000004")
        body = f'<office:spreadsheet><table:table table:name="S">{rows}</table:table></office:spreadsheet>'
        content = f"<office:document-content {names}><office:body>{body}</office:body></office:document-content>"
        with zipfile.ZipFile(tmp_path / "c.ods", "w") as archive:
            archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
            archive.writestr("content.xml", content)
        [product] = read_catalogue(tmp_path / "c.ods").products.values()
        assert (product["sku"], product["price"]) == ("A", "0.3")

    @pytest.mark.parametrize(
        ("content", "what"),
        [(b"%PDF-1.7", "a PDF"), (b"\xd0\xcf\x11\xe0", "an old workbook"), (b"PK\x03\x04broken", "a damaged workbook")],
    )
    def test_a_file_that_is_no_table_is_said_in_one_line(self, file, content: bytes, what: str) -> None:
        with pytest.raises(Unreadable, match=what) as said:
            read_catalogue(file(content))
        assert "\n" not in str(said.value)


class TestCommand:
    def test_a_dry_run_says_all_and_sends_nothing(self, file, run, gateway) -> None:
        result = run(file(f"{HEADER}A,Cup,1.25,1\nB,Pot,cheap,1\nA,Cup,1.25,1\n"), "--dry-run")
        assert result.exit_code == 1, result.output
        assert (gateway.products, gateway.answers) == ({}, {})
        for said in (
            "text in utf-8",
            "another line has the SKU",
            "the price is no number",
            "line 2: A, Cup, 1.25, 1 in stock",
        ):
            assert said in result.output
        assert "This is a dry run: nothing is sent." in result.output

    def test_a_dry_run_needs_no_gateway(self, file, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CONVEYOR_GATEWAY_URL", "http://127.0.0.1:9")
        assert CliRunner().invoke(load, [str(file(f"{HEADER}A,Cup,1.25,1\n")), "--dry-run"]).exit_code == 0

    @pytest.mark.parametrize(
        "content",
        [
            "sku;name;price\nA;Tasse;1.250\n",
            "sku,name,price\nA,Caf\u00e9,1.00\n".encode("cp1252"),
            f"{HEADER}A,1,1,1\nA,1,2,1",
        ],
    )
    def test_what_is_not_certain_sends_nothing(self, file, run, gateway, content: str | bytes) -> None:
        result = run(file(content))
        assert isinstance(result.exception, ConveyorError)
        assert (gateway.products, gateway.answers) == ({}, {})

    def test_what_is_decided_is_said_before_anything_is_sent(self, file, run, gateway, monkeypatch) -> None:
        """Seen by a gateway that refuses all: what was decided stands above the refusals."""
        result = run(file(f"{HEADER}REFUSED,Cup,1.25,1\n"))
        assert result.output.index("separated by commas") < result.output.index("sku: not this one")

    def test_a_field_that_is_none_is_a_wrong_command_line(self, file, run) -> None:
        result = run(file(HEADER), "--map", "colour=x")
        assert (result.exit_code, "sku, name, description, price, stock" in result.output) == (2, True)
