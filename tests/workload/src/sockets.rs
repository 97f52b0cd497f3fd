// SPDX-License-Identifier: Apache-2.0 OR MIT
//! TCP sockets in the states that CRIU locks, and in those that it does not.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;

use crate::Outcome;
use crate::report::Report;

/// A listener, a client of it and the accepted side: the whole connection is in this process.
pub(crate) fn listen_connect(address: SocketAddr, report: &mut Report) -> Outcome<Vec<OwnedFd>> {
    let (listener, client, accepted) = connection(address, report)?;
    Ok(vec![listener.into(), client.into(), accepted.into()])
}

/// The same, with one side shut down: FIN_WAIT2 here, CLOSE_WAIT there.
pub(crate) fn half_closed(address: SocketAddr, report: &mut Report) -> Outcome<Vec<OwnedFd>> {
    let (listener, client, accepted) = connection(address, report)?;
    client.shutdown(Shutdown::Write)?;
    // The end of the stream proves that the other side has seen it.
    std::io::Read::read(&mut &accepted, &mut [0])?;
    Ok(vec![listener.into(), client.into(), accepted.into()])
}

/// A client only: its peer is another process.
pub(crate) fn connect(address: SocketAddr, report: &mut Report) -> Outcome<Vec<OwnedFd>> {
    let client = TcpStream::connect(address)?;
    report_connection(&client, report)?;
    Ok(vec![client.into()])
}

/// A client whose traffic the program takes part in.
pub(crate) fn client(address: SocketAddr, report: &mut Report) -> Outcome<TcpStream> {
    let client = TcpStream::connect(address)?;
    report_connection(&client, report)?;
    Ok(client)
}

/// Sends back what has come. A connection in repair mode refuses both, and may work again later.
pub(crate) fn echo(mut peer: &TcpStream) {
    let mut bytes = [0; 512];
    let answered = peer.read(&mut bytes).and_then(|length| peer.write_all(&bytes[..length]).map(|()| length));
    if !answered.is_ok_and(|length| length > 0) {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// A listener that accepts nothing.
pub(crate) fn listen(address: SocketAddr, report: &mut Report) -> Outcome<Vec<OwnedFd>> {
    Ok(vec![server(address, report)?.into()])
}

/// A listener.
pub(crate) fn server(address: SocketAddr, report: &mut Report) -> Outcome<TcpListener> {
    let listener = TcpListener::bind(address)?;
    report.line(&format!("listening {}", listener.local_addr()?));
    Ok(listener)
}

fn connection(address: SocketAddr, report: &mut Report) -> Outcome<(TcpListener, TcpStream, TcpStream)> {
    let listener = server(address, report)?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (accepted, _) = listener.accept()?;
    report_connection(&client, report)?;
    Ok((listener, client, accepted))
}

fn report_connection(client: &TcpStream, report: &mut Report) -> Outcome {
    report.line(&format!("connection {} {}", client.local_addr()?, client.peer_addr()?));
    Ok(())
}
