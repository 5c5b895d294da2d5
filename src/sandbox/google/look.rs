//! What there is to see in the simulated Google, past the API.

use serde_json::Value;

use super::Google;

/// A connection, and what it opens.
#[derive(Debug, Clone)]
pub struct Opens {
    /// `projects/P/locations/L/connections/C`.
    pub connection: String,
    /// `project:location:instance`.
    pub instance: String,
    pub database: String,
}

impl Google {
    /// Every project, by its id.
    pub fn projects(&self) -> Vec<String> {
        self.lock().options.projects.clone()
    }

    /// Every connection with the database behind it.
    pub fn opens(&self) -> Vec<Opens> {
        let world = self.lock();
        let connections = world.connections.iter();
        connections
            .map(|(name, connection)| Opens {
                connection: name.clone(),
                instance: connection.instance.clone(),
                database: connection.database.clone(),
            })
            .collect()
    }

    /// Every dataset as its project, its id and its access list.
    pub fn datasets(&self) -> Vec<(String, String, Vec<Value>)> {
        let world = self.lock();
        let datasets = world.datasets.iter();
        datasets
            .map(|((project, id), dataset)| (project.clone(), id.clone(), dataset.access.clone()))
            .collect()
    }
}
