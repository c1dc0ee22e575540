//! As much of HTTP/1.1 as the small server and the load on it need: requests without a body, and responses.

use std::fmt;

/// The longest head of a request or a response that is read.
const LONGEST_HEAD: usize = 16 * 1024;
/// The longest body of a response that is read.
const LONGEST_BODY: usize = 4 << 20;
/// The most headers.
const MOST_HEADERS: usize = 64;

/// What stands where HTTP was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotHttp(&'static str);

impl fmt::Display for NotHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A request that has come in whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its path, with what comes behind a `?`.
    pub path: String,
    /// The client wants no other on this connection.
    pub close: bool,
    /// Bytes that it took.
    pub length: usize,
}

/// Reads the first request of a buffer; `None` while it is not there whole.
pub fn request(buffer: &[u8]) -> Result<Option<Request>, NotHttp> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(buffer) {
        Ok(httparse::Status::Complete(length)) => {
            if parsed.method != Some("GET") {
                return Err(NotHttp("only GET is served"));
            }
            let path = parsed.path.unwrap_or("/").to_string();
            let close = closes(parsed.headers, parsed.version);
            Ok(Some(Request { path, close, length }))
        }
        Ok(httparse::Status::Partial) if buffer.len() <= LONGEST_HEAD => Ok(None),
        Ok(httparse::Status::Partial) => Err(NotHttp("a head without end")),
        Err(_) => Err(NotHttp("not a request of HTTP/1.1")),
    }
}

/// The bytes of a response.
pub fn response(status: u16, body: &str, close: bool) -> Vec<u8> {
    let reason = match status {
        200 => "OK",
        400 => "Bad Request",
        _ => "Not Found",
    };
    let kept = if close { "close" } else { "keep-alive" };
    format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: {kept}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A response that has come in whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Vec<u8>,
    /// The server closes the connection.
    pub close: bool,
    /// Bytes that it took.
    pub length: usize,
}

/// Reads the first response of a buffer; `None` while it is not there whole. `ended` says that no more will come.
pub fn read_response(buffer: &[u8], ended: bool) -> Result<Option<Response>, NotHttp> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut parsed = httparse::Response::new(&mut headers);
    let head = match parsed.parse(buffer) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) if buffer.len() <= LONGEST_HEAD => return Ok(None),
        Ok(httparse::Status::Partial) => return Err(NotHttp("a head without end")),
        Err(_) => return Err(NotHttp("not a response of HTTP/1.1")),
    };
    let status = parsed.code.unwrap_or(0);
    let close = closes(parsed.headers, parsed.version);
    let chunked = header(parsed.headers, "transfer-encoding").is_some();
    let told = header(parsed.headers, "content-length").map(|value| value.parse::<usize>());
    let rest = &buffer[head..];
    let until_the_end = told.is_none() && !chunked;
    let found = match told {
        Some(Ok(length)) if length <= LONGEST_BODY => rest.get(..length).map(|body| (body.to_vec(), length)),
        Some(_) => return Err(NotHttp("a body that is too long, or a length that is no number")),
        None if chunked => chunks(rest)?,
        None if matches!(status, 100..200 | 204 | 304) => Some((Vec::new(), 0)),
        None => ended.then(|| (rest.to_vec(), rest.len())),
    };
    if found.is_none() && rest.len() > LONGEST_BODY {
        return Err(NotHttp("a body that is too long"));
    }
    let close = close || (until_the_end && ended);
    Ok(found.map(|(body, length)| Response { status, body, close, length: head + length }))
}

/// The body that chunks make, and the bytes that they take; `None` while the last is not there. Nobody asks for trailers.
fn chunks(mut rest: &[u8]) -> Result<Option<(Vec<u8>, usize)>, NotHttp> {
    let (mut body, mut taken) = (Vec::new(), 0);
    loop {
        let (line, size) = match httparse::parse_chunk_size(rest) {
            Ok(httparse::Status::Complete(found)) => found,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(NotHttp("chunks that are none")),
        };
        let Some(size) = usize::try_from(size).ok().filter(|&size| size <= LONGEST_BODY) else {
            return Err(NotHttp("a body that is too long"));
        };
        let Some(chunk) = rest.get(line..line + size + 2) else { return Ok(None) };
        body.extend_from_slice(&chunk[..size]);
        (taken, rest) = (taken + line + size + 2, &rest[line + size + 2..]);
        if size == 0 {
            return Ok(Some((body, taken)));
        }
    }
}

/// Whether a connection ends with this message; without a word about it, in HTTP/1.0 it does.
fn closes(headers: &[httparse::Header<'_>], version: Option<u8>) -> bool {
    header(headers, "connection").map_or(version == Some(0), |value| value.eq_ignore_ascii_case("close"))
}

fn header<'a>(headers: &[httparse::Header<'a>], name: &str) -> Option<&'a str> {
    let found = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(found.value).ok().map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_whole_or_not_there_yet() {
        let text = b"GET /api/7 HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.0\r\n\r\n";
        let first = request(text).unwrap().unwrap();
        assert_eq!((first.path.as_str(), first.close), ("/api/7", false));
        let second = request(&text[first.length..]).unwrap().unwrap();
        assert_eq!((second.path.as_str(), second.close), ("/", true));
        assert_eq!(request(&text[..20]), Ok(None));
        for bad in [&b"POST / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01\x02", &[b'a'; LONGEST_HEAD + 1]] {
            assert!(request(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_sent_can_be_read() {
        let bytes = response(200, "seven", false);
        let read = read_response(&bytes, false).unwrap().unwrap();
        assert_eq!((read.status, read.body.as_slice(), read.close), (200, &b"seven"[..], false));
        assert_eq!(read.length, bytes.len());
        assert_eq!(read_response(&bytes[..bytes.len() - 1], false), Ok(None));
    }

    #[test]
    fn bodies_end_in_three_ways() {
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nseven\r\n0\r\n\r\n";
        let read = read_response(chunked, false).unwrap().unwrap();
        assert_eq!((read.body.as_slice(), read.length), (&b"seven"[..], chunked.len()));
        assert_eq!(read_response(&chunked[..chunked.len() - 2], false), Ok(None));
        let open = b"HTTP/1.0 200 OK\r\n\r\nsome";
        assert_eq!(read_response(open, false), Ok(None));
        let read = read_response(open, true).unwrap().unwrap();
        assert!(read.body == b"some" && read.close);
        let counted = b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nsome";
        assert!(read_response(counted, false).unwrap().unwrap().close, "as HTTP/1.0 has it");
        let long = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n";
        assert!(read_response(long, false).is_err());
    }
}
