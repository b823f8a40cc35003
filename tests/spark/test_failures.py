"""Which of Spark's errors may be due to what a file holds, and how they are said."""

import pytest

from feedmill.spark.failures import SparkUnavailableError, may_be_of_content, root_cause

STACK = """org.apache.spark.SparkException
\tat org.apache.spark.sql.errors.QueryExecutionErrors$.cannotReadFilesError(QueryExecutionErrors.scala:856)
Caused by: org.apache.parquet.io.ParquetDecodingException: could not read page in col [event_id] optional binary
\tat org.apache.spark.sql.execution.datasources.parquet.TimeoutException.initFromPage(VectorizedColumnReader.java:1)
Caused by: {cause}
\tat com.github.luben.zstd.ZstdInputStreamNoFinalizer.readInternal(ZstdInputStreamNoFinalizer.java:171)"""


class SparkError(Exception):
    """As PySpark's: a message, and the stack of the server."""

    def __init__(self, message, cause):
        super().__init__(message)
        self.cause = cause

    def getStackTrace(self):  # noqa: N802 - PySpark's name
        return STACK.format(cause=self.cause)


READ = "[FAILED_READ_FILE.NO_HINT] Encountered error while reading file file:///zone/a.parquet. SQLSTATE: KD001"


@pytest.mark.parametrize(
    "cause",
    [
        "com.github.luben.zstd.ZstdIOException: Unknown frame descriptor",
        "java.lang.ClassNotFoundException: org.apache.hadoop.io.compress.BrotliCodec",
        "org.apache.spark.SparkDateTimeException: [CAST_INVALID_INPUT] The value 'Connection timed out' of the type",
        "java.lang.NegativeArraySizeException: -5",
    ],
)
def test_what_a_file_holds_may_be_the_cause(cause):
    assert may_be_of_content(SparkError(READ, cause))


@pytest.mark.parametrize(
    "cause",
    [
        "java.lang.OutOfMemoryError: Java heap space",
        "java.io.IOException: No space left on device",
        "java.net.SocketTimeoutException: Read timed out",
        "java.net.ConnectException: Connection refused",
        "java.nio.file.AccessDeniedException: s3a://zone/a: getFileStatus: Forbidden (Service: S3, Status Code: 403)",
        "com.amazonaws.services.s3.model.AmazonS3Exception: SlowDown: Please reduce your request rate.",
        "com.amazonaws.services.s3.model.AmazonS3Exception: The provided token has expired. (ExpiredToken)",
        "java.io.FileNotFoundException: File file:/zone/a.parquet does not exist",
        "java.lang.InterruptedException: null",
    ],
)
def test_what_surrounds_a_read_blames_no_file(cause):
    assert not may_be_of_content(SparkError(READ, cause))


def test_an_error_of_ours_and_a_lost_server_blame_no_file():
    assert not may_be_of_content(SparkUnavailableError("Spark Connect died"))
    error = SparkError("<_MultiThreadedRendezvous of RPC that terminated with: status = StatusCode.UNAVAILABLE", "")
    assert not may_be_of_content(error)
    assert not may_be_of_content(SparkError("[OPERATION_CANCELED] Operation has been canceled.", ""))


def test_the_cause_at_the_bottom_is_said_in_one_line():
    assert root_cause(SparkError(READ, "com.github.luben.zstd.ZstdIOException: Unknown frame\x1b descriptor")) == (
        "Unknown frame  descriptor"
    )
    assert root_cause(SparkError(READ, "java.lang.ClassNotFoundException: org.apache.BrotliCodec")) == (
        "ClassNotFoundException: org.apache.BrotliCodec"
    )
    assert root_cause(ValueError("[SOME_CONDITION] It is wrong. SQLSTATE: 42\nmore")) == "It is wrong."
