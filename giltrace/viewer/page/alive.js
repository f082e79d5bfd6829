// Holds a connection open for as long as this tab is: giltrace ends a moment after it closes.
new EventSource('alive');
