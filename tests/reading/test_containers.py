"""What a file is packed in: all load to the same data; what cannot be read is told by its name."""

import bz2
import gzip
import io
import lzma
import sys
import tarfile
import zipfile
from dataclasses import replace

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

from expression.reading import containers, sheets
from expression.reading.load import load_expression_data
from small_cohort import (
    CLASSES,
    GENES,
    LABELS,
    SMALL,
    TRAIN,
    VALUES,
    annotation,
    assert_refused_or_same,
    assert_same,
    load,
    refused,
    to_bytes,
    write,
    write_folder,
)

TABLE = to_bytes(SMALL[TRAIN])


def zipped(files: dict) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        entry = tarfile.TarInfo("table.csv")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


PACKED = {
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zip": lambda content: zipped({"table.csv": content}),
    "zip of a Mac": lambda content: zipped(
        {"a/": b"", "a/table.csv": content, "__MACOSX/a/._table.csv": b"x", "a/.DS_Store": b"x"}
    ),
    "zip of gzip": lambda content: zipped({"table.csv.gz": gzip.compress(content)}),
    "gzip of gzip": lambda content: gzip.compress(gzip.compress(content)),
}


# --- text in them ---------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", PACKED.values(), ids=PACKED)
def test_a_packed_file_loads_to_the_same_data(small, tmp_path, pack):
    found = load(tmp_path, {name: pack(to_bytes(rows)) for name, rows in SMALL.items()})
    assert_same(found, small)


DAMAGED = [
    (zipped({"a.csv": b"", "b.csv": b""}), r"a zip must hold one file - it has a.csv, b.csv;"),
    (zipped({}), "a zip must hold one file - it has none"),
    (zipped({"a.csv": TABLE})[:-9], r"its zip data are damaged.*copy it again"),
    (bz2.compress(TABLE)[:-9], "its bz2 data are damaged; copy or compress it again"),
    (lzma.compress(TABLE)[:-9], "its xz data are damaged"),
    (
        zipped({"mimetype": b"", "content.xml": b""}),
        r"it is an OpenDocument file \(.ods\); sav",
    ),
    (PACKED["gzip of gzip"](PACKED["zip of gzip"](bz2.compress(b""))), "more than 4 times"),
]


@pytest.mark.parametrize(("content", "message"), DAMAGED, ids=[message for _, message in DAMAGED])
def test_what_cannot_be_unpacked_is_refused(tmp_path, content, message):
    with refused(f"train.csv: .*{message}"):
        load(tmp_path, {TRAIN: content})


def test_an_encrypted_zip_is_refused(tmp_path):
    content = bytearray(zipped({"a.csv": TABLE}))
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag in the directory
    with refused("train.csv: .*its zip data are encrypted; unpack it"):
        load(tmp_path, {TRAIN: bytes(content)})


@pytest.mark.parametrize("name", ["bz2", "xz", "zip"])
def test_what_unpacks_to_too_much_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.setattr(containers, "MAX_BYTES", 10_000)
    with refused("train.csv: .*more than 10,000 bytes"):
        load(tmp_path, {TRAIN: PACKED[name](b"0" * 10_001)})


def test_a_python_without_a_module_says_so(tmp_path, monkeypatch):
    folder = write_folder(tmp_path, {TRAIN: lzma.compress(TABLE)})
    monkeypatch.setitem(sys.modules, "lzma", None)
    with refused("train.csv: .*this Python cannot read xz; unpack it"):
        load_expression_data(folder)


@given(name=st.sampled_from(list(PACKED)), position=st.integers(0, 10**6), byte=st.integers(0, 255))
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_a_damaged_archive_is_refused_by_name_or_changes_nothing(
    small, tmp_path_factory, name, position, byte
):
    folder = write_folder(tmp_path_factory.getbasetemp() / "damaged")
    damaged = bytearray(PACKED[name](TABLE))
    damaged[position % len(damaged)] = byte
    write(folder, TRAIN, bytes(damaged))
    assert_refused_or_same(folder, TRAIN, small, f"byte {position} of {name} is {byte}")


# --- what cannot be read --------------------------------------------------------------------------

FOREIGN = [
    (bytes.fromhex("d0cf11e0a1b11ae1") + bytes(512), r"an old Excel workbook \(.xls\); save it as"),
    (gzip.compress(b"RDX3\nX\n" + bytes(200)), r"R's data \(RData\); .*write.csv"),
    (bz2.compress(b"X\n\0\0\0\3\0\4\1\0"), r"R's data \(.rds\)"),
    (tarred(TABLE), "a tar archive; unpack it"),
    (b"7z\xbc\xaf\x27\x1c" + bytes(20), "a 7z archive"),
    (b"\x28\xb5\x2f\xfd" + bytes(20), "compressed by zstd"),
    (b"\x80\x04\x95" + bytes(20), "a pickle of Python"),
    (b"\x93NUMPY\x01\x00", "an array of NumPy"),
    (b"%PDF-1.7\n", "a PDF document"),
    (b"\n<!DOCTYPE HTML><title>404</title>\n", "a web page; download the file itself"),
    (b'<?xml version="1.0"?>\n<MINiML>\n', "XML"),
    (b"[CEL]\nVersion=3\n", "the raw scan of one array .*; summarise"),
    (b"% Leukemia\n%\n@RELATION leukemia\n", r"an ARFF file \(Weka\)"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS"),
]


@pytest.mark.parametrize("name", [TRAIN, LABELS])
@pytest.mark.parametrize(("content", "message"), FOREIGN, ids=[message for _, message in FOREIGN])
def test_content_tells_a_foreign_format_whatever_the_file_is_called(
    tmp_path, name, content, message
):
    with refused(f"{name}: must be a readable file - it is {message}"):
        load(tmp_path, {name: content})


# --- tables of numbers ----------------------------------------------------------------------------

FRAME = VALUES.astype(float).rename_axis("gene")
SYMBOLS = [f"SYM{i}" for i in range(len(GENES))]
SAMPLES = pd.DataFrame(
    {
        "cancer": pd.Categorical(CLASSES.values()),
        "age": np.arange(len(CLASSES)) + 40,
        "site": ["Lyon", None] * (len(CLASSES) // 2),
    },
    index=list(CLASSES),
)


def load_alone(folder, name, content, **options):
    """Load all patients from one file, without a file of classes unless it is an option."""
    folder.mkdir(exist_ok=True)
    return load_expression_data(train=write(folder, name, content), **options)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    labels = write(folder, LABELS, annotation(CLASSES))
    return load_alone(folder, "table", FRAME.to_csv().encode(), labels=labels)


@pytest.mark.parametrize("by_row", [False, True])
@pytest.mark.parametrize("format", ["parquet", "feather"])
def test_parquet_and_feather_load_to_the_same_data(plain, tmp_path, format, by_row):
    frame = FRAME
    if by_row:  # with the class beside the genes, and names of rows as pandas keeps them
        frame = FRAME.T.rename_axis("patient").assign(cancer=CLASSES.values())
    frame = frame.reset_index() if format == "feather" else frame
    buffer = io.BytesIO()
    getattr(frame, f"to_{format}")(buffer)
    labels = None if by_row else write(tmp_path, LABELS, annotation(CLASSES))
    found = load_alone(tmp_path, "table", buffer.getvalue(), labels=labels)
    assert_same(found, plain)
    as_labels = write(tmp_path, "labels", buffer.getvalue())
    if by_row:
        again = load_alone(tmp_path, "table", FRAME.to_csv().encode(), labels=as_labels)
        assert_same(again, plain)


def test_a_wrong_cell_of_a_binary_table_is_refused_with_its_row(tmp_path):
    frame = FRAME.reset_index().astype({"3": object})
    frame.loc[2, "3"] = "low"
    buffer = io.BytesIO()
    frame.astype({"3": str}).to_feather(buffer)
    labels = write(tmp_path, LABELS, annotation(CLASSES))
    with refused(r"finite number - 1 are not, the first 'low' in row 3 \(X00042_at\), column 3"):
        load_alone(tmp_path, "table", buffer.getvalue(), labels=labels)


def write_h5ad(path, form=np.asarray, samples=SAMPLES):
    """Write AnnData's format, version 0.1.0, as its documentation states it."""

    def add(group, name, entries, kind):
        data = group.create_dataset(name, data=entries)
        data.attrs["encoding-type"] = kind

    with h5py.File(path, "w") as file:
        X = form(FRAME.T.to_numpy())
        if sparse.issparse(X):
            group = file.create_group("X")
            group.attrs.update({"encoding-type": f"{X.format}_matrix", "shape": X.shape})
            for part in ("data", "indices", "indptr"):
                group.create_dataset(part, data=getattr(X, part))
        else:
            add(file, "X", X, "array")

        obs = file.create_group("obs")
        obs.attrs["_index"] = "_index"
        obs.attrs["column-order"] = list(samples.columns)
        add(obs, "_index", list(samples.index), "string-array")
        for name, column in samples.items():
            if column.dtype.kind in "if":
                add(obs, name, column.to_numpy(), "array")
                continue
            categorical = column.astype("category").cat
            group = obs.create_group(name)
            group.attrs["encoding-type"] = "categorical"
            add(group, "codes", categorical.codes.to_numpy(), "array")
            add(group, "categories", list(categorical.categories), "string-array")

        var = file.create_group("var")
        var.attrs["_index"] = "gene_ids"
        var.attrs["column-order"] = ["gene_symbols", "mean", "counted"]
        add(var, "gene_ids", GENES, "string-array")
        add(var, "gene_symbols", SYMBOLS, "string-array")
        add(var, "mean", np.arange(len(GENES)) / 3, "array")
        counted = var.create_group("counted")
        counted.attrs["encoding-type"] = "nullable-integer"
        add(counted, "values", np.arange(len(GENES)), "array")
        add(counted, "mask", np.arange(len(GENES)) % 2 == 0, "array")
    return path.read_bytes()


def test_entries_are_read_as_a_text_file_has_them(tmp_path):
    """Whole numbers without decimals, and nothing where an entry is missing."""
    write_h5ad(tmp_path / "file", samples=SAMPLES.assign(dose=[1.0, 0.5, np.nan, *range(23)]))
    sheet = sheets.read_sample_sheet(tmp_path / "file").sheet
    columns = {name: sheet.text[j] for j, name in sheet.header.items()}
    assert list(columns) == ["obs_names", "cancer", "age", "site", "dose"]
    assert columns["dose"][:5] == ["1", "0.5", "", "0", "1"]
    assert columns["site"][:2] == ["Lyon", ""]
    var = containers.read_content(tmp_path / "file").iloc[:, :3]
    assert list(var) == ["var_names", "gene_symbols", "1"]


def test_an_entry_that_anndata_masks_is_missing(tmp_path):
    with h5py.File(tmp_path / "file", "w") as file:
        file["values"] = [4, 5]
        file["mask"] = [False, True]
        assert containers.read_column(file).tolist() == [4, None]


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
def test_obs_of_anndata_is_the_sample_sheet_and_var_names_the_genes(plain, tmp_path, form):
    content = write_h5ad(tmp_path / "file", form)
    found = load_alone(tmp_path, "file", content)
    assert_same(found, plain)
    assert "Classes: column 'cancer' of file." in found.origin
    assert "Gene symbols: column 'gene_symbols' of file." in found.origin
    assert found.gene_names.tolist() == SYMBOLS
    packed = load_alone(tmp_path, "packed", gzip.compress(content))
    assert_same(packed, plain)


def test_obs_of_anndata_may_be_the_sample_sheet_of_another_table(plain, tmp_path):
    labels = tmp_path / "labels"
    write_h5ad(labels)
    assert_same(load_alone(tmp_path, "table", FRAME.to_csv().encode(), labels=labels), plain)


def test_several_columns_of_obs_that_may_be_classes_are_listed_and_one_chosen(plain, tmp_path):
    other = SAMPLES.assign(sex=["m", "f"] * 13, ward=range(len(SAMPLES)))
    content = write_h5ad(tmp_path / "file", samples=other)
    with refused("one column of classes - found cancer, sex; choose one with --class-column"):
        load_alone(tmp_path, "file", content)
    options = {"class_column": "cancer", "batch_column": "sex", "group_column": "ward"}
    found = load_alone(tmp_path, "file", content, **options)
    assert_same(replace(found, batches=None, groups=None), plain)
    assert found.batches.tolist() == other["sex"].tolist()
    assert found.groups.tolist() == [str(n) for n in other["ward"]]


def test_an_hdf5_file_that_is_no_anndata_is_refused(tmp_path):
    with h5py.File(tmp_path / "x", "w") as file:
        file["matrix"] = np.zeros((3, 3))
    for content in ((tmp_path / "x").read_bytes(), b"\x89HDF\r\n\x1a\n" + bytes(4000)):
        with refused("file: an HDF5 file must be AnnData's .h5ad, with X, obs and var - .*export"):
            load_alone(tmp_path, "file", content)


def test_single_cells_are_too_many(tmp_path, monkeypatch):
    content = write_h5ad(tmp_path / "file")
    monkeypatch.setattr(containers, "MAX_BYTES", 100 * 8)
    monkeypatch.setattr(containers, "check_size", lambda *_: None)
    monkeypatch.setattr(containers, "_read_limited", lambda file: file.read())
    with refused("at most 100 values - found 26 x 12, as of single cells; sum .*pseudobulk"):
        load_alone(tmp_path, "file", content)


@pytest.mark.parametrize(
    ("content", "package", "message"),
    [
        (b"\x89HDF\r\n\x1a\n" + bytes(40), "h5py", "an HDF5 file .* - h5py is not .*install h5py'"),
        (b"PAR1" + bytes(40), "pyarrow", "a Parquet file .* - pyarrow is not .*install pyarrow'"),
        (b"ARROW1" + bytes(40), "pyarrow", "a Feather file .* - pyarrow is not .*install pyarrow'"),
    ],
)
def test_a_package_that_is_not_installed_is_named(tmp_path, monkeypatch, content, package, message):
    monkeypatch.setitem(sys.modules, package, None)
    with refused(f"file: {message}, or "):
        load_alone(tmp_path, "file", content)
    with refused(f"file: {message}, or "):
        load_alone(tmp_path, "t", FRAME.to_csv().encode(), labels=write(tmp_path, "file", content))
