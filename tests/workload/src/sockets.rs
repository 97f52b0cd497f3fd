// SPDX-License-Identifier: Apache-2.0 OR MIT
//! TCP sockets in the states that CRIU locks, and in those that it does not.

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
