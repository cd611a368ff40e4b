-- One database for each service: none can read another's tables by mistake. Run once, on an empty volume.
CREATE DATABASE "mobile-app";
CREATE DATABASE "auth";
CREATE DATABASE "restaurant-availability";
CREATE DATABASE "payment-gateway";
CREATE DATABASE "restaurant-orders";
CREATE DATABASE "delivery-assignment";
CREATE DATABASE "tracking";
CREATE DATABASE "notification";
