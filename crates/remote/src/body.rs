//! The bytes of an answer, held to what it announced.

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use object_store::{GetResult, GetResultPayload};

use crate::retry;

/// The bytes of an answer, never more than it said it would have.
pub(crate) async fn body(found: GetResult, length: u64) -> object_store::Result<Bytes> {
    let bytes = match found.payload {
        GetResultPayload::File(..) => found.bytes().await?,
        GetResultPayload::Stream(mut stream) => {
            let mut bytes = BytesMut::new();
            while let Some(chunk) = stream.next().await {
                let chunk = chunk?;
                if (bytes.len() + chunk.len()) as u64 > length {
                    return Err(wrong_length(length));
                }
                if bytes.is_empty() && chunk.len() as u64 == length {
                    return Ok(chunk);
                }
                bytes.extend_from_slice(&chunk);
            }
            bytes.freeze()
        }
    };
    if bytes.len() as u64 == length { Ok(bytes) } else { Err(wrong_length(length)) }
}

fn wrong_length(length: u64) -> object_store::Error {
    retry::own(format!("the answer does not have the {length} bytes that it announced"))
}
