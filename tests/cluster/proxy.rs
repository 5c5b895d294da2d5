//! A wire to the API server that can be cut.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Forwards every connection until it is told not to.
pub struct Proxy {
    /// Where it is, in a kubeconfig's words.
    pub cluster: Value,
    /// Whether it takes connections, and how often those that it had were cut.
    state: Arc<watch::Sender<(bool, u32)>>,
}

impl Proxy {
    pub async fn start(cluster: &Value) -> Self {
        let server = cluster["server"].as_str().unwrap();
        let (scheme, address) = server.split_once("://").unwrap();
        let address: SocketAddr = address.trim_end_matches('/').parse().unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut cluster = cluster.clone();
        cluster["server"] = json!(format!("{scheme}://127.0.0.1:{port}"));
        let state = Arc::new(watch::Sender::new((true, 0)));
        let told = state.subscribe();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, address, told.clone()));
            }
        });
        Self { cluster, state }
    }

    /// Ends what is open, and takes nothing.
    pub fn close(&self) {
        self.state
            .send_modify(|(open, cuts)| (*open, *cuts) = (false, *cuts + 1));
    }

    pub fn open(&self) {
        self.state.send_modify(|(open, _)| *open = true);
    }

    /// Ends what is open.
    pub fn cut(&self) {
        self.state.send_modify(|(_, cuts)| *cuts += 1);
    }
}

async fn forward(mut client: TcpStream, to: SocketAddr, mut told: watch::Receiver<(bool, u32)>) {
    let (open, cuts) = *told.borrow_and_update();
    if !open {
        return;
    }
    let Ok(mut server) = TcpStream::connect(to).await else {
        return;
    };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
        _ = told.wait_for(|(_, now)| *now != cuts) => {}
    }
}
