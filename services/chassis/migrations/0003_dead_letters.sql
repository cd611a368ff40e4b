-- Dead messages of an order are asked for by its id. Empty as long as all goes well.
CREATE INDEX inbox_dead ON inbox (subject) WHERE state = 'dead';
