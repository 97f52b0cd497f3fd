// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Answers requests for `/metrics`.
//!
//! Anybody on the network may ask, so this never waits longer than a moment, holds no more than one short request, and
//! works without any capability. It answers one client after the other: the kernel holds the others.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::privilege;

/// How long one client may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a request may be.
const LIMIT: usize = 4096;
/// How long to wait after a client could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// What is served; nothing yet before the first pass has ended.
#[derive(Debug, Clone, Default)]
pub(crate) struct Page(Arc<Mutex<Option<String>>>);

impl Page {
    /// Serves this from now on.
    pub(crate) fn set(&self, text: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }

    fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Serves the page at this address, on a thread of its own.
pub(crate) fn start(address: SocketAddr) -> io::Result<Page> {
    let listener = TcpListener::bind(address)?;
    let page = Page::default();
    let shown = page.clone();
    let serve = move || {
        // It works with them, too.
        let _ = privilege::give_up_all();
        loop {
            match listener.accept() {
                // A client that goes away needs no answer.
                Ok((client, _)) => drop(serve(&client, &shown)),
                Err(_) => thread::sleep(PAUSE),
            }
        }
    };
    thread::Builder::new().name("metrics".to_owned()).spawn(serve)?;
    Ok(page)
}

fn serve(mut client: &TcpStream, page: &Page) -> io::Result<()> {
    client.set_write_timeout(Some(PATIENCE))?;
    let head = read_head(client)?;
    client.write_all(answer(&head, page.get()).as_bytes())
}

/// The head of the request, as far as it is needed.
fn read_head(mut client: &TcpStream) -> io::Result<Vec<u8>> {
    let until = Instant::now() + PATIENCE;
    let mut head = Vec::new();
    let mut piece = [0; 512];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || head.len() > LIMIT {
            return Err(io::ErrorKind::TimedOut.into());
        }
        client.set_read_timeout(Some(left))?;
        match client.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => head.extend_from_slice(&piece[..length]),
        }
    }
    Ok(head)
}

fn answer(head: &[u8], page: Option<String>) -> String {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    let (status, body) = match (method, path, page) {
        (b"GET", b"/metrics", Some(text)) => ("200 OK", text),
        (b"GET", b"/metrics", None) => ("503 Service Unavailable", "no pass has ended yet\n".to_owned()),
        (b"GET", _, _) => ("404 Not Found", "/metrics is all there is\n".to_owned()),
        (_, _, _) => ("405 Method Not Allowed", "only GET is allowed\n".to_owned()),
    };
    let kind = "Content-Type: text/plain; version=0.0.4; charset=utf-8";
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(head: &str, page: Option<&str>, start: &str, end: &str) {
        let answer = answer(head.as_bytes(), page.map(str::to_owned));
        assert!(answer.starts_with(&format!("HTTP/1.1 {start}\r\n")) && answer.ends_with(end), "{answer}");
    }

    #[test]
    fn only_metrics_are_answered() {
        check(
            "GET /metrics HTTP/1.1\r\n\r\n",
            Some("x 1\n"),
            "200 OK",
            "Content-Length: 4\r\nConnection: close\r\n\r\nx 1\n",
        );
        check("GET /metrics?a=b HTTP/1.1\r\n\r\n", Some("x 1\n"), "200 OK", "x 1\n");
        check("GET /metrics HTTP/1.1\r\n\r\n", None, "503 Service Unavailable", "yet\n");
        check("GET / HTTP/1.1\r\n\r\n", Some("x 1\n"), "404 Not Found", "is\n");
        check("POST /metrics HTTP/1.1\r\n\r\n", Some("x 1\n"), "405 Method Not Allowed", "allowed\n");
        check("\r\n\r\n", Some("x 1\n"), "405 Method Not Allowed", "allowed\n");
    }

    #[test]
    fn a_client_that_says_nothing_does_not_keep_others_waiting() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _silent = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (client, _) = listener.accept().unwrap();
        let started = Instant::now();
        assert!(serve(&client, &Page::default()).is_err());
        assert!(started.elapsed() >= PATIENCE && started.elapsed() < 2 * PATIENCE);
    }

    #[test]
    fn a_request_without_an_end_is_not_held() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut endless = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (client, _) = listener.accept().unwrap();
        endless.write_all(&[b'x'; 2 * LIMIT]).unwrap();
        assert!(serve(&client, &Page::default()).is_err());
    }
}
